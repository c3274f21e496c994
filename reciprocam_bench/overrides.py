"""``--set key=value`` over the content of a config file, and what of the file then no longer fits."""

import json
import re
from copy import deepcopy
from typing import Any

import yaml

from reciprocam_bench.errors import UserError
from reciprocam_bench.yaml_file import load_yaml

_DEEPEST = 20
# What a file says of its own network and of no other.
_OF_THE_MODEL = (
    *("model", "factory", "options", "weights", "layer", "head", "num_classes", "multi_label"),
    *("class_names", "channels", "mean", "std", "size"),
)
_OF_ANY_MODEL: tuple[Any, ...] = (None, False, {}, "auto", "image", "default", "none")
# ``reciprocam[mask=gaussian]``, which is not YAML inside a list; a value may be a list itself.
_TITLE = re.compile(r"""[^\s,\[\]{}"']+\[\s*\w+\s*=(?:[^\[\]]|\[[^\[\]]*\])*\]""")


def apply_overrides(data: dict[str, Any], overrides: tuple[str, ...]) -> list[str]:
    """Put ``key=value`` overrides into ``data``; where they name another network, the file's keys on its own one go.

    Returns a note for the reader on what was left out. Raises ``UserError`` for an override that cannot be read.
    """
    wanted = deepcopy(data)
    for override in overrides:
        _put(wanted, override)
    before, after = data.get("backbone"), wanted.get("backbone")
    if not isinstance(before, dict) or not isinstance(after, dict) or _network(before) == _network(after):
        data |= wanted
        return []
    theirs = {k: before.pop(k) for k in _OF_THE_MODEL if before.get(k) not in _OF_ANY_MODEL}
    for override in overrides:
        _put(data, override)
    if "backbone" in set_keys(overrides):  # given as a whole, so the reader knows what is in it
        return []
    lost = [key for key in theirs if key not in ("model", "factory", *data["backbone"])]
    listed = ", ".join(f"{key}: {theirs[key]}" for key in lost)
    return [f"left out with the file's backbone {_network(theirs)}: {listed}"] if lost else []


def _put(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"--set {override}: write key=value, for example --set backbone.weights=none")
    try:
        value = _value(text)
    except (yaml.YAMLError, ValueError):
        raise UserError(f"--set {override}: '{text}' is not a YAML value") from None
    *parents, last = key.split(".")
    if len(parents) > _DEEPEST:
        raise UserError(f"--set {key[:60]}…: no key lies {len(parents)} levels deep; write key=value")
    for parent in parents:
        if data.get(parent) is None:
            data[parent] = {}
        data = data[parent]
        if not isinstance(data, dict):
            raise UserError(f"--set {override}: '{parent}' is not a mapping")
    data[last] = value


def _value(text: str) -> Any:
    """The YAML value of a text, in which titles of methods may stand in a list as tables print them."""
    try:
        return load_yaml(text)
    except yaml.YAMLError:
        if not _TITLE.search(text):
            raise
    return load_yaml(_TITLE.sub(lambda title: json.dumps(title[0], ensure_ascii=False), text))


def set_keys(overrides: tuple[str, ...]) -> set[str]:
    """The keys that overrides set, with dots."""
    return {override.partition("=")[0] for override in overrides}


def _network(backbone: dict[str, Any]) -> Any:
    return backbone.get("factory") or backbone.get("model")
