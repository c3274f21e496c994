"""The parameters of a library's class as the options of a config."""

import inspect
import math
from collections.abc import Callable, Iterable
from inspect import Parameter
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

# Options that say how often the network is asked.
_REPEATS = ("num_samples", "n_samples", "n_steps", "nt_samples")
_SIMPLE = (bool, int, float, str, NoneType)

# The layers that a class reads in place of the backbone's own.
LAYERS = {"layers": Parameter("layers", Parameter.KEYWORD_ONLY, default=None, annotation=list[str] | None)}


def settable(functions: Iterable[Callable[..., Any]], given: frozenset[str]) -> dict[str, Parameter]:
    """The parameters that a config may set, keyword-only: named ones that the adapter does not give itself."""
    return {
        name: Parameter(name, Parameter.KEYWORD_ONLY, default=p.default, annotation=_kind(hint, p.default))
        for function in functions
        for name, p, hint in _named(function)
        if name not in given
    }


def split(options: dict[str, Any], constructor: Callable[..., Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the constructor, and the others, which belong to the call."""
    mine = {name for name, _, _ in _named(constructor)}
    return {n: v for n, v in options.items() if n in mine}, {n: v for n, v in options.items() if n not in mine}


def with_classes(
    options: dict[str, Any], constructor: Callable[..., Any], find: Callable[[str], type]
) -> dict[str, Any]:
    """The options with named classes in place of names, where the constructor takes a class."""
    classes = {name for name, p, _ in _named(constructor) if inspect.isclass(p.default)}
    return {n: find(v) if n in classes and isinstance(v, str) else v for n, v in options.items()}


def repeats(values: dict[str, Any]) -> float:
    """How often the options (by name, with their values) have the network asked; 1 where none of them says."""
    counts = (values[name] for name in _REPEATS if isinstance(values.get(name), int))
    return float(math.prod(counts))


def _named(function: Callable[..., Any]) -> list[tuple[str, Parameter, Any]]:
    try:
        hints = get_type_hints(function)
    except Exception:  # names that exist for type checkers alone fail in whatever way they do
        hints = {}
    found = list(inspect.signature(function).parameters.items())[1:]
    return [(n, p, hints.get(n)) for n, p in found if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]


def _kind(hint: Any, default: Any) -> Any:
    """A type that a value of a config can be checked against; ``Any`` where there is none."""
    if inspect.isclass(default) and default is not Parameter.empty:
        return str  # a class is named
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return hint if hint is not None and all(kind in _SIMPLE for kind in kinds) else Any
