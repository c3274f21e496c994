"""The part of a data set that ``dataset.subset`` asks for: listed images, some at random, or so many of each class."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from reciprocam_bench.config import SubsetConfig
from reciprocam_bench.datasets.dataset import Dataset
from reciprocam_bench.datasets.order import first_of_classes, shuffled
from reciprocam_bench.errors import UserError, did_you_mean
from reciprocam_bench.regular import not_a_file
from reciprocam_bench.variables import expanded, fill_environment


def take_subset(dataset: Dataset, subset: SubsetConfig, seed: int) -> Dataset:
    """The data set with the images of a subset alone; which ones depends on ids, labels and ``seed``.

    Raises ``UserError`` for a list that cannot be read or names another image, and for classes where there are none.
    """
    unread = {name for name, _ in dataset.skipped} - {s.id for s in dataset.samples}
    if subset.file is not None:
        wanted = _listed(expanded(fill_environment(subset.file)), unread | {s.id for s in dataset.samples})
    elif subset.random is not None:
        wanted = unread | {s.id for s in shuffled(dataset.samples, seed)[: subset.random]}
    else:
        assert subset.per_class is not None
        wanted = unread | {s.id for s in first_of_classes(dataset.samples, seed, subset.per_class)}
        if wanted == unread:
            raise UserError(
                f"dataset.subset.per_class: no image of '{dataset.name}' has a class; give labels, or take random"
            )
    samples = [s for s in dataset.samples if s.id in wanted]
    skipped = [(name, reason) for name, reason in dataset.skipped if name in wanted]
    return replace(dataset, samples=samples, skipped=skipped, beyond_subset=len(dataset.samples) - len(samples))


def _listed(path: Path, ids: set[str]) -> set[str]:
    """Those of the ids that a list names, a line each."""
    where = f"dataset.subset.file: {path}"
    names = _names(ids)
    wanted = set()
    for number, line in _lines(path, where):
        found = names.get(line)
        if found is None:
            raise UserError(f"{where}, line {number}: '{line}' is not in the data set{did_you_mean(line, ids)}")
        if len(found) > 1:
            some = ", ".join(sorted(found)[:2])
            raise UserError(f"{where}, line {number}: '{line}' names {len(found)} images ({some}, …); write the id")
        wanted |= found
    if not wanted:
        raise UserError(f"{where} names no image; write an id or a file name on each line")
    return wanted


def _names(ids: Iterable[str]) -> dict[str, set[str]]:
    """The ids by what a list may call them: the id itself, or the file's name, both also without the ending."""
    names: dict[str, set[str]] = defaultdict(set)
    for name in ids:
        for short in {Path(name).name, Path(name).with_suffix("").as_posix(), Path(name).stem}:
            names[short].add(name)
    return names | {name: {name} for name in ids}


def _lines(path: Path, where: str) -> list[tuple[int, str]]:
    """The numbered lines of a list without comments and blank ones."""
    if reason := not_a_file(path):
        raise UserError(f"{where} {reason}; correct the path")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{where} cannot be read: {error}") from None
    lines = ((number, re.sub(r"(^|\s)#.*", "", line).strip()) for number, line in enumerate(text.splitlines(), 1))
    return [(number, line) for number, line in lines if line]
