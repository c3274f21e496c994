"""Names to functions: what ``@explainer`` and ``@metric`` fill, and what configs look names up in."""

import importlib
import pkgutil
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import entry_points
from inspect import Parameter, Signature, signature, unwrap
from typing import Any, Generic, TypeVar

from pydantic import ConfigDict, ValidationError, create_model
from pydantic.errors import PydanticSchemaGenerationError

from reciprocam_bench.errors import UserError, did_you_mean, in_words
from reciprocam_bench.truth import refuse_truth

Spec = TypeVar("Spec")

# Modules of ours that add to a registry from outside its package, by entry-point group: the one place that knows both.
# Named here and not in our own distribution's entry points, so that a checkout that is not installed has them as well.
FROM_OUTSIDE = {"reciprocam_bench.explainers": ("reciprocam_bench.peers.methods",)}


@dataclass(frozen=True)
class Source(Generic[Spec]):
    """Specs that are made when they are asked for, under names ``prefix:name``: the classes of another library.

    Attributes:
        prefix: what stands before the colon.
        names: the names behind it; ``UserError`` where they cannot be had.
        make: ``(name behind the colon) ->`` spec; ``UserError`` for one that is unknown.
    """

    prefix: str
    names: Callable[[], Iterable[str]]
    make: Callable[[str], Spec]


class Registry(Generic[Spec]):
    """A table from name to spec, filled by decorators in the modules of one package and by entry points.

    Modules are imported on first look-up, so that a listing costs nothing until it is asked for. A name with a colon
    that nobody registered belongs to a `Source`.
    """

    def __init__(self, kind: str, package: str, entry_point_group: str) -> None:
        self.kind = kind
        self._package = package
        self._group = entry_point_group
        self._specs: dict[str, Spec] = {}
        self._aliases: dict[str, str] = {}
        self._sources: dict[str, Source[Spec]] = {}
        self._filled = False

    def add(self, name: str, spec: Spec, aliases: tuple[str, ...] = ()) -> None:
        """Register ``spec``; a name can be taken only once (a plug-in cannot replace a built-in)."""
        for key in (name, *aliases):
            if key in self._specs or key in self._aliases:
                raise UserError(f"{self.kind} '{key}' is registered twice; rename one of the two")
        self._specs[name] = spec
        self._aliases |= dict.fromkeys(aliases, name)

    def add_source(self, source: Source[Spec]) -> None:
        """Take names with the source's prefix from it; a prefix can be taken only once."""
        if source.prefix in self._sources:
            raise UserError(f"the prefix '{source.prefix}:' of {self.kind}s is registered twice; rename one of the two")
        self._sources[source.prefix] = source

    def get(self, name: str) -> Spec:
        """Return the spec of ``name`` or of the name it is an alias of; an unknown name is a ``UserError``."""
        specs = self.all()
        name = self._aliases.get(name, name)
        if name in specs:
            return specs[name]
        prefix, colon, rest = name.partition(":")
        if prefix in self._sources and colon:
            return self._sources[prefix].make(rest)
        if self._sources and colon:
            raise UserError(f"{self.kind} '{name}': unknown library '{prefix}'{did_you_mean(prefix, self._sources)}")
        raise UserError(f"unknown {self.kind} '{name}'{did_you_mean(name, specs)} (rcam-bench ls {self.kind}s)")

    def all(self) -> dict[str, Spec]:
        """Every registered spec by name, sorted by name; those of sources are not among them."""
        if not self._filled:
            package = importlib.import_module(self._package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self._package}.{module.name}")
            for outside in FROM_OUTSIDE.get(self._group, ()):
                importlib.import_module(outside)
            for point in entry_points(group=self._group):
                _load_plugin(point)
            self._filled = True
        return dict(sorted(self._specs.items()))

    def available(self, pattern: str = "*") -> dict[str, Spec]:
        """`all`, and behind them what the sources have.

        A source that cannot be had is left out, unless ``pattern`` names it: then its ``UserError`` is raised.
        """
        specs = self.all()
        for prefix, source in self._sources.items():
            try:
                specs |= {f"{prefix}:{name}": source.make(name) for name in source.names()}
            except UserError:
                if pattern.startswith(f"{prefix}:"):
                    raise
        return specs


def _load_plugin(point: Any) -> None:
    try:
        point.load()
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # a plug-in may fail in any way; the user must learn which one it was
        raise UserError(
            f"plug-in '{point.name}' ({point.value}) failed to load: {type(error).__name__}: {error}; "
            "fix or uninstall it"
        ) from error


def keyword_options(function: Callable[..., Any]) -> dict[str, Parameter]:
    """The keyword-only parameters of a registered function: what a config may set.

    Raises ``UserError`` where an annotation cannot be read; those of other parameters need not be there at run time.
    """
    with suppress(Exception):  # as it is nearly always
        return _keyword_only(signature(function, eval_str=True))
    found = _keyword_only(signature(function))
    names = getattr(unwrap(function), "__globals__", {})
    for name, parameter in found.items():
        if isinstance(parameter.annotation, str):
            try:
                annotation = eval(parameter.annotation, names)
            except Exception as error:  # a plug-in's; a name that only a type checker imports
                raise _unreadable(function, name, error) from None
            found[name] = parameter.replace(annotation=annotation)
    return found


def _keyword_only(found: Signature) -> dict[str, Parameter]:
    return {n: p for n, p in found.parameters.items() if p.kind is Parameter.KEYWORD_ONLY}


def _unreadable(function: Callable[..., Any], name: str, error: Exception) -> UserError:
    where = f"{function.__module__}.{getattr(function, '__qualname__', function)}"
    return UserError(f"{where}: the type of option '{name}' cannot be read: {in_words(error, 120)}; fix the plug-in")


def check_options(where: str, function: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """Check ``options`` against the keyword-only parameters of ``function`` and their annotations.

    Returns the options as given (not filled with defaults), coerced to their types. Raises ``UserError`` for an
    unknown option, a missing one or a value of the wrong type.
    """
    known = keyword_options(function)
    for name in options:
        if name not in known:
            raise UserError(f"{where}: unknown option '{name}'{did_you_mean(name, known)}")
        try:
            refuse_truth(known[name].annotation, options[name])
        except ValueError as error:
            raise UserError(f"{where}: option '{name}': {error}") from None
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in options:
            raise UserError(f"{where}: option '{name}' is missing; it has no default")
    fields: dict[str, Any] = {
        n: (Any if p.annotation is p.empty else p.annotation, p.default) for n, p in known.items()
    }
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Field name .* shadows")  # an option called `copy` is an option
            model = create_model("Options", __config__=ConfigDict(extra="forbid", allow_inf_nan=False), **fields)
    except PydanticSchemaGenerationError as error:
        raise _unreadable(function, ", ".join(fields), error) from None
    try:
        checked = model(**options)
    except ValidationError as error:
        first = error.errors()[0]
        given = repr(first["input"])[:80]
        raise UserError(f"{where}: option '{first['loc'][0]}': {first['msg']}, not {given}") from None
    return {name: getattr(checked, name) for name in options}
