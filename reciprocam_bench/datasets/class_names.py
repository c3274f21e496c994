"""What a network's classes are called."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from timm.data import ImageNetInfo

from reciprocam_bench.errors import UserError, did_you_mean

_MOST_DIGITS = 9


@dataclass(frozen=True)
class ClassNames:
    """Names of a network's classes.

    Attributes:
        short: a name of each class, in the order of the outputs.
        spellings: the classes of everything they may be called, in lower case.
    """

    short: tuple[str, ...]
    spellings: dict[str, list[int]]

    def find(self, text: str) -> int:
        """The class of a name, whatever its case, or of an index; ``UserError`` for one that is unknown or ambiguous.

        Classes may be called by numbers, grades for example: a name counts before an index, and where all are there is
        no index beside; of two classes that are called alike the index tells.
        """
        found = self.spellings.get(text.strip().lower(), [])
        distinct = len(self.spellings) >= len(self.short)
        by_numbers = distinct and all(re.fullmatch(r"\d+", name) for name in self.spellings)
        if len(found) != 1 and not by_numbers and re.fullmatch(r"-?\d+", text):
            index = int(text) if len(text) <= _MOST_DIGITS else -1
            if not 0 <= index < len(self.short):
                raise UserError(f"class {text[:20]}: the network has classes 0 to {len(self.short) - 1}")
            return index
        if not found:
            raise UserError(f"class '{text}': no class is called so{did_you_mean(text.lower(), self.spellings)}")
        if len(found) > 1:
            raise UserError(f"class '{text}': {len(found)} classes are called so; give an index: {found}")
        return found[0]


def class_names(num_classes: int, given: Sequence[str] | None = None) -> ClassNames:
    """The given names, one a class, else ImageNet's for 1,000 classes, else ``class 12``."""
    if given is not None:
        return _spelt([[name] for name in given])
    if num_classes == 1000:
        return _imagenet()
    return _spelt([[f"class {index}"] for index in range(num_classes)])


@cache
def _imagenet() -> ClassNames:
    info = ImageNetInfo("imagenet-1k")
    return _spelt(
        [
            [*(str(info.index_to_description(index)).split(", ")), str(info.index_to_label_name(index))]
            for index in range(1000)
        ]
    )


def _spelt(names: list[list[str]]) -> ClassNames:
    """The first name of each class is its short one."""
    spellings: dict[str, list[int]] = defaultdict(list)
    for index, called in enumerate(names):
        for name in {name.strip().lower() for name in called}:
            spellings[name].append(index)
    return ClassNames(tuple(called[0] for called in names), dict(spellings))
