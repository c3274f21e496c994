"""How tables name a method or metric with its options, ``reciprocam[mask=gaussian]``, and how that is read."""

import hashlib
import re
from collections.abc import Iterable
from typing import Any

import yaml

from reciprocam_bench.errors import UserError
from reciprocam_bench.yaml_file import load_yaml

_SHAPE = re.compile(r"(?P<name>[^\[\]]+)\[(?P<options>.*)\]", re.DOTALL)
_NEXT_OPTION = re.compile(r",(?=\s*\w+\s*=)")  # a comma inside a value, as in [1, 2], is followed by no key


def title_of(name: str, options: dict[str, Any]) -> str:
    """``name[option=value,…]``, or the name alone; the values are YAML, so that `parse_title` reads them back."""
    listed = ",".join(f"{key}={_as_yaml(value)}" for key, value in options.items())
    return f"{name}[{listed}]" if listed else name


def with_arrow(title: str, higher_is_better: bool | None) -> str:
    """``Drop ↓``: a metric's title and which way is better; the title alone where neither is."""
    return title if higher_is_better is None else f"{title} {'↑' if higher_is_better else '↓'}"


def parse_title(text: str) -> dict[str, Any]:
    """A title as the mapping that a config takes: ``name`` and the options. Any other form is a ``UserError``."""
    if "[" not in text and "]" not in text:
        return {"name": text}
    match = _SHAPE.fullmatch(text.strip())
    if match is None:
        raise _mistake(text)
    found: dict[str, Any] = {"name": match["name"].strip()}
    for option in _NEXT_OPTION.split(match["options"]):
        key, equals, value = (part.strip() for part in option.partition("="))
        if not equals or not key.isidentifier() or key in ("label", *found):
            raise _mistake(text)
        try:
            found[key] = load_yaml(value)
        except (yaml.YAMLError, ValueError):
            raise UserError(f"'{text[:100]}': '{value[:100]}' is not a YAML value") from None
    return found


def file_name(method: str) -> str:
    """A method's title as a part of a file name that every system takes: ``torchcam:CAM`` is ``torchcam-CAM``."""
    return re.sub(r"[^\w.+-]+", "-", method).strip("-")


def file_names(methods: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """`file_name` of each title, told apart by a number where two titles come to one, or to one that is ``taken``."""
    used = {name.casefold() for name in taken}
    return {title: not_taken(file_name(title) or "method", used) for title in dict.fromkeys(methods)}


def not_taken(name: str, used: set[str]) -> str:
    """The name, with a number behind it where it is ``used`` in whatever case; it is used then."""
    found, number = name, 1
    while found.casefold() in used:
        number += 1
        found = f"{name}-{number}"
    used.add(found.casefold())
    return found


def shortened(name: str, most: int = 200) -> str:
    """A file's name without its ending, of ``most`` bytes or less: of a longer one the beginning and a digest."""
    whole = name.encode("utf-8", "surrogateescape")
    if len(whole) <= most:
        return name
    digest = hashlib.sha256(whole).hexdigest()[:8]
    return f"{whole[: most - 9].decode('utf-8', 'ignore')}-{digest}"


def _mistake(text: str) -> UserError:
    text = text if len(text) <= 100 else f"{text[:100]}…"
    return UserError(f"'{text}' is not readable as name[option=value,…]; write for example reciprocam[mask=gaussian]")


def _as_yaml(value: Any) -> str:
    plain = str(value)
    try:
        if _same(yaml.safe_load(plain), value):
            return plain
    except (yaml.YAMLError, ValueError):
        pass
    return yaml.safe_dump([value], default_flow_style=True, width=float("inf")).strip()[1:-1]


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and a == b
