"""A class of another library as a method: made on the fly from its name."""

import contextlib
import importlib
import inspect
import io
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator
from inspect import Parameter
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.errors import UserError, in_words
from reciprocam_bench.explainers.forward_pass import ForwardPass, differentiable, usable
from reciprocam_bench.explainers.registry import ExplainerSpec
from reciprocam_bench.peers.libraries import LIBRARIES, Library, find_library
from reciprocam_bench.peers.network import WholeNetwork, whole_network

# Options that say how often the network is asked.
_REPEATS = ("num_samples", "n_samples", "n_steps", "nt_samples")


class PeerError(RuntimeError):
    """A class of another library failed; the message names it."""


class Adapter(Protocol):
    """How the classes of one library are made and called: what each module of this package that is named for one has.

    ``SETS_APART`` says whether every activation must be a module of its own.
    """

    SETS_APART: bool

    def options_of(self, cls: Any) -> dict[str, Parameter]:
        """What a config may set."""

    def make(self, cls: Any, network: WholeNetwork, options: dict[str, Any]) -> Any:
        """The object that explains, made with the constructor's options."""

    def explain(
        self, cls: Any, network: WholeNetwork, images: Tensor, classes: Tensor, options: dict[str, Any]
    ) -> Tensor:
        """Maps ``(N, h, w)`` or ``(N, H, W)``."""


def peer_method(name: str) -> ExplainerSpec:
    """The method ``library:Class``; ``UserError`` where the library or the class is unknown or cannot be run."""
    prefix, _, class_name = name.partition(":")
    library = find_library(prefix, name)
    cls = library.find(class_name)
    adapter = _adapter(library)
    options = adapter.options_of(cls)

    def check(backbone: Backbone, chosen: dict[str, Any]) -> None:
        if chosen.get("layers") == []:
            raise UserError("layers: the list is empty; name layers, or leave it out for the backbone's own")
        constructor = {n: v for n, v in chosen.items() if n in inspect.signature(cls).parameters}
        layers = _layers(cls, backbone, chosen)
        try:
            with (
                whole_network(backbone, layers, adapter.SETS_APART) as network,
                _kept_to_itself(backbone.device),
                contextlib.ExitStack() as stack,
            ):
                made = adapter.make(cls, network, constructor)
                if hasattr(made, "__exit__"):
                    stack.enter_context(made)
        except UserError:
            raise
        except Exception as error:  # whatever the library makes of options or networks it cannot take
            raise UserError(f"it cannot explain {backbone.name}: {in_words(error)}") from error

    return ExplainerSpec(
        name=name,
        function=_function(name, cls, adapter, options),
        forwards=lambda backbone, chosen: _forwards(cls, options, backbone, chosen),
        implementation=lambda backbone, chosen: library.version,
        check=check,
        class_maps=None,
        own_forward=True,
    )


def installed_methods() -> dict[str, str]:
    """Every peer class that can be run here, by method name, with the first line on it and its options."""
    listed = {}
    for prefix, library in LIBRARIES.items():
        try:
            classes = library.classes()
        except UserError:
            continue
        for name, cls in classes.items():
            options = ", ".join(_adapter(library).options_of(cls))
            listed[f"{prefix}:{name}"] = _first_line(cls) + (f" Options: {options}." if options else "")
    return listed


def _function(name: str, cls: Any, adapter: Adapter, options: dict[str, Parameter]) -> Callable[..., Tensor]:
    def explain(fp: ForwardPass, **chosen: Any) -> Tensor:
        layers = _layers(cls, fp.backbone, chosen)
        chosen.pop("layers", None)
        try:
            with (
                whole_network(fp.backbone, layers, adapter.SETS_APART) as network,
                differentiable(fp.images) as images,
                _kept_to_itself(fp.backbone.device),
            ):
                maps = adapter.explain(cls, network, images, usable(fp.classes), chosen)
        except UserError as error:
            raise UserError(f"method '{name}': {error}") from None
        except Exception as error:  # another library's code fails in its own ways
            raise PeerError(f"{name}: {in_words(error)}") from error
        if maps.ndim != 3 or len(maps) != len(fp):
            raise PeerError(f"{name}: maps are {tuple(maps.shape)}, not (N, h, w) with N = {len(fp)}")
        return maps.detach().to(fp.features.device, torch.float32)

    fp = Parameter("fp", Parameter.POSITIONAL_OR_KEYWORD, annotation=ForwardPass)
    explain.__signature__ = inspect.Signature([fp, *options.values()])  # type: ignore[attr-defined]
    explain.__doc__ = _first_line(cls)
    return explain


def _layers(cls: Any, backbone: Backbone, chosen: dict[str, Any]) -> tuple[str, ...]:
    """The layers a class reads; those that refine a map need several, the same as our refinecam."""
    if cls.__name__ == "RefineCAM" and not chosen.get("layers"):
        return backbone.stages()[-3:]
    return tuple(chosen.get("layers") or ())


def _adapter(library: Library) -> Adapter:
    return cast(Adapter, importlib.import_module(f"reciprocam_bench.peers.{library.prefix}"))


@contextlib.contextmanager
def _kept_to_itself(device: torch.device) -> Iterator[None]:
    """Bars, prints and warnings go nowhere; random numbers are the same in every call and change nobody else's."""
    before = np.random.get_state()
    cuda = [device] if device.type == "cuda" else []
    nowhere = io.StringIO()
    with (
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
        warnings.catch_warnings(),
        torch.random.fork_rng(cuda),
    ):
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        np.random.seed(0)
        try:
            yield
        finally:
            np.random.set_state(before)


def _forwards(cls: Any, options: dict[str, Parameter], backbone: Backbone, chosen: dict[str, Any]) -> float:
    values = {name: chosen.get(name, p.default) for name, p in options.items()}
    asked = 1.0
    for name in _REPEATS:
        asked *= values[name] if isinstance(values.get(name), int) else 1
    if any(base.__name__ == "ScoreCAM" for base in cls.__mro__):
        return asked * backbone.feature_shape[0]
    if cls.__name__ == "AblationCAM":
        return 1 + 0.1 * backbone.feature_shape[0]
    if cls.__name__ in ("KernelShap", "Lime"):  # their samples are of all squares at once
        return 1 + asked
    squares = [values[name] ** 2 for name in ("feature_mask", "layer_mask") if isinstance(values.get(name), int)]
    return 1 + asked * (squares[0] if squares else 1)


def _first_line(cls: type) -> str:
    """The first sentence of its docstring without links, cut to fit a line; its name where it has none."""
    paragraph = " ".join((cls.__doc__ or "").strip().partition("\n\n")[0].split())
    sentence = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", paragraph).partition(". ")[0].rstrip(".")
    return f"{textwrap.shorten(sentence or cls.__name__, 100, placeholder=' [...]')}."
