"""Classes of other libraries as methods, made from their names, and the libraries as sources of the registry."""

import contextlib
import importlib
import inspect
import io
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from inspect import Parameter
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.errors import UserError, in_words
from reciprocam_bench.explainers.forward_pass import ForwardPass, differentiable, usable
from reciprocam_bench.explainers.registry import EXPLAINERS, ExplainerSpec
from reciprocam_bench.peers.libraries import LIBRARIES, Library
from reciprocam_bench.peers.network import WholeNetwork, whole_network
from reciprocam_bench.registry import Source


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

    def forwards(self, cls: Any, channels: int, values: dict[str, Any]) -> float:
        """About how many forward passes an image costs; of the values of all options, given or not."""


@dataclass(frozen=True)
class Peer:
    """A class of a library, and the adapter that knows how such classes are called."""

    library: Library
    cls: Any
    adapter: Adapter

    @property
    def name(self) -> str:
        """``library:Class``."""
        return f"{self.library.prefix}:{self.cls.__name__}"

    def check(self, backbone: Backbone, chosen: dict[str, Any]) -> None:
        """Make the object once: ``UserError`` for what the library makes of options or networks it cannot take."""
        if not backbone.differentiable:
            raise UserError(f"other libraries look into PyTorch's modules, and {backbone.name} has none")
        if chosen.get("layers") == []:
            raise UserError("layers: the list is empty; name layers, or leave it out for the backbone's own")
        constructor = {n: v for n, v in chosen.items() if n in inspect.signature(self.cls).parameters}
        try:
            with self._lent(backbone, chosen) as network, contextlib.ExitStack() as stack:
                made = self.adapter.make(self.cls, network, constructor)
                if hasattr(made, "__exit__"):
                    stack.enter_context(made)
        except UserError:
            raise
        except Exception as error:  # it fails in ways of its own
            raise UserError(f"it cannot explain {backbone.name}: {in_words(error)}") from error

    def explain(self, fp: ForwardPass, chosen: dict[str, Any]) -> Tensor:
        """Maps ``(N, h, w)`` or ``(N, H, W)``, float32; `PeerError` where the library's own code fails."""
        options = {n: v for n, v in chosen.items() if n != "layers"}
        try:
            with self._lent(fp.backbone, chosen) as network, differentiable(fp.images) as images:
                maps = self.adapter.explain(self.cls, network, images, usable(fp.classes), options)
        except UserError as error:
            raise UserError(f"method '{self.name}': {error}") from None
        except Exception as error:  # another library's code fails in its own ways
            raise PeerError(f"{self.name}: {in_words(error)}") from error
        if maps.ndim != 3 or len(maps) != len(fp):
            raise PeerError(f"{self.name}: maps are {tuple(maps.shape)}, not (N, h, w) with N = {len(fp)}")
        return maps.detach().to(fp.features.device, torch.float32)

    def forwards(self, backbone: Backbone, chosen: dict[str, Any]) -> float:
        """About how many full forward passes one image costs."""
        defaults = {name: p.default for name, p in self.adapter.options_of(self.cls).items()}
        return self.adapter.forwards(self.cls, backbone.feature_shape[0], defaults | chosen)

    @contextlib.contextmanager
    def _lent(self, backbone: Backbone, chosen: dict[str, Any]) -> Iterator[WholeNetwork]:
        """The network with the layers it reads; one that fuses layers gets the same as our refinecam."""
        layers = tuple(chosen.get("layers") or ())
        if not layers and self.cls.__name__ in self.library.fuses_layers:
            layers = backbone.stages()[-3:]
        with whole_network(backbone, layers, self.adapter.SETS_APART) as network, _kept_to_itself(backbone.device):
            yield network


def peer_method(library: Library, class_name: str) -> ExplainerSpec:
    """The method ``library:Class``; ``UserError`` where the class is unknown or cannot be run."""
    peer = Peer(library, library.find(class_name), _adapter(library))
    return ExplainerSpec(
        name=peer.name,
        function=_function(peer),
        forwards=peer.forwards,
        # Their users' network knows nothing of our arithmetic.
        implementation=lambda backbone, chosen: library.version + ("" if backbone.arithmetic.is_plain else ", float32"),
        check=peer.check,
        fuses_layers=class_name in library.fuses_layers,
        class_blind=class_name in library.class_blind,
        random=class_name in library.random,
        own_forward=True,
    )


def _function(peer: Peer) -> Callable[..., Tensor]:
    def explain(fp: ForwardPass, **chosen: Any) -> Tensor:
        return peer.explain(fp, chosen)

    fp = Parameter("fp", Parameter.POSITIONAL_OR_KEYWORD, annotation=ForwardPass)
    options = peer.adapter.options_of(peer.cls).values()
    explain.__signature__ = inspect.Signature([fp, *options])  # type: ignore[attr-defined]
    explain.__doc__ = _first_sentence(peer.cls)
    return explain


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


def _first_sentence(cls: type) -> str:
    """The first sentence of its docstring, without links and line breaks; its name where it has none."""
    paragraph = " ".join((cls.__doc__ or "").strip().partition("\n\n")[0].split())
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", paragraph)
    text = re.sub(r"\s*<?https?://\S+", "", text)
    # A full stop before a small letter ends an abbreviation.
    sentence = re.split(r"\.\s+(?=[A-Z])", text)[0].rstrip(" .,:")
    return f"{sentence or cls.__name__}."


for _library in LIBRARIES.values():
    EXPLAINERS.add_source(Source(_library.prefix, _library.classes, partial(peer_method, _library)))
