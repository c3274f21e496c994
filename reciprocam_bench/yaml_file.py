"""YAML that people write, read strictly: a mapping, or one line that says what is wrong."""

from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer, ComposerError
from yaml.events import AliasEvent, Event

from reciprocam_bench.errors import UserError
from reciprocam_bench.regular import not_a_file

# A config has a few dozen nodes, and some thousands where it lists images; what is beyond is an attack or a mistake.
_MOST_BYTES, _MOST_NODES, _DEEPEST = 4_000_000, 100_000, 50


def load_yaml(text: str) -> Any:
    """The value of a YAML text. Raises ``yaml.YAMLError`` or ``ValueError`` for what is none.

    Beyond YAML's own rules: a key stands once in a mapping, nothing holds itself, and depth and number of values are
    bounded, those counted that an alias repeats.
    """
    loader = _Strict(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def read_yaml(path: Path, what: str = "a config") -> dict[str, Any]:
    """Read a YAML mapping, ``what`` it should be; anything else is a ``UserError``."""
    if reason := not_a_file(path):
        raise UserError(f"{path} {reason}; give a YAML file")
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UserError(f"{path}: is larger than {_MOST_BYTES // 1_000_000} MB; no YAML file of ours is")
        data = load_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:  # 2024-13-45 is a ValueError: no such date
        raise UserError(f"{path}: not readable as YAML: {_reason(error)}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: {what} is a mapping of keys to values; this file is not one")
    return data


def _reason(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return " ".join(str(error).split())[:200]
    about = ", ".join(part for part in (getattr(error, "context", None), getattr(error, "problem", None)) if part)
    return f"line {mark.line + 1}, column {mark.column + 1}: {about}"


# libyaml is several times as fast, where PyYAML was built with it.
_Parser: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


class _Strict(Composer, _Parser):
    """Refuses while nodes are composed, before values are made of them."""

    def __init__(self, text: str) -> None:
        _Parser.__init__(self, text)
        Composer.__init__(self)
        self._level = 0
        # (number of nodes in it, depth) of each whole node; one node stands wherever an alias repeats it.
        self._extent: dict[int, tuple[int, int]] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Event = self.peek_event()
        if isinstance(event, AliasEvent):
            node = super().compose_node(parent, index)
            if id(node) not in self._extent:
                raise _refused(f"*{event.anchor} stands inside of what it repeats", event.start_mark)
            return node
        self._level += 1
        if self._level > _DEEPEST:
            raise _refused(f"nested deeper than {_DEEPEST} levels", event.start_mark)
        if len(self._extent) > _MOST_NODES:
            raise _refused(f"more than {_MOST_NODES:,} values", event.start_mark)
        node = super().compose_node(parent, index)
        self._level -= 1
        if node is not None:
            self._measure(node)
        return node

    def _measure(self, node: yaml.Node) -> None:
        parts: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            _refuse_duplicates(node)
            parts = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            parts = node.value
        extents = [self._extent[id(part)] for part in parts]
        nodes, depth = 1 + sum(n for n, _ in extents), 1 + max((d for _, d in extents), default=0)
        if nodes > _MOST_NODES:
            raise _refused(f"more than {_MOST_NODES:,} values, aliases counted", node.start_mark)
        if depth > _DEEPEST:
            raise _refused(f"nested deeper than {_DEEPEST} levels", node.start_mark)
        self._extent[id(node)] = nodes, depth


def _refused(problem: str, mark: Any) -> ComposerError:
    return ComposerError(None, None, problem, mark)


def _refuse_duplicates(node: yaml.MappingNode) -> None:
    seen: set[tuple[str, str]] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            name = (key.tag, key.value)
            if name in seen:
                raise _refused(f"the key '{key.value[:60]}' is given twice", key.start_mark)
            seen.add(name)
