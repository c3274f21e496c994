"""The decorator that makes a function an explainer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.registry import Registry, check_options


@dataclass(frozen=True)
class ExplainerSpec:
    """An explainer and what the engine must know of it.

    Attributes:
        function: ``(ForwardPass, **options) -> (N, h, w)`` raw maps at feature resolution.
        forwards: ``(backbone, options) ->`` about how many full forward passes an image costs, for progress bars.
        implementation: ``(backbone, options) ->`` which of several equal ways will run, for timing tables.
        check: ``(backbone, options) -> None``; raises ``UserError`` where the method cannot explain this backbone.
        class_maps: ``(ForwardPass, **options) -> (N, K, h, w)``, the maps of all classes, where that is cheap.
        gradients: whether it differentiates the network.
        own_forward: whether its call runs the images through the network itself and needs no shared forward pass, as
            the classes of other libraries do.
    """

    name: str
    function: Callable[..., Tensor]
    forwards: Callable[[Backbone, dict[str, Any]], float]
    implementation: Callable[[Backbone, dict[str, Any]], str]
    check: Callable[[Backbone, dict[str, Any]], None]
    class_maps: Callable[..., Tensor] | None
    gradients: bool = False
    own_forward: bool = False


def _of_another_library(name: str) -> ExplainerSpec:
    from reciprocam_bench.peers.methods import peer_method  # it needs the classes above

    return peer_method(name)


EXPLAINERS: Registry[ExplainerSpec] = Registry(
    "method", "reciprocam_bench.explainers", "reciprocam_bench.explainers", _of_another_library
)


def explainer(
    name: str,
    *,
    aliases: tuple[str, ...] = (),
    forwards: Callable[[Backbone, dict[str, Any]], float] = lambda backbone, options: 1.0,
    implementation: Callable[[Backbone, dict[str, Any]], str] = lambda backbone, options: "",
    check: Callable[[Backbone, dict[str, Any]], None] = lambda backbone, options: None,
    class_maps: Callable[..., Tensor] | None = None,
    gradients: bool = False,
) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Register a function as the method ``name``; its keyword-only parameters are the options of a config."""

    def register(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        spec = ExplainerSpec(name, function, forwards, implementation, check, class_maps, gradients)
        EXPLAINERS.add(name, spec, aliases)
        return function

    return register


@dataclass(frozen=True)
class Method:
    """An explainer with its options set: one row of a table."""

    title: str
    spec: ExplainerSpec
    options: dict[str, Any]

    def __call__(self, fp: ForwardPass) -> Tensor:
        """Raw maps ``(N, h, w)``, detached, on the device of the features."""
        maps = self.spec.function(fp, **self.options)
        if not isinstance(maps, Tensor):
            raise TypeError(f"it must return maps (N, h, w); it returned a {type(maps).__name__}")
        return maps.detach()

    def forwards(self, backbone: Backbone) -> float:
        """About how many full forward passes one image costs."""
        return self.spec.forwards(backbone, self.options)


def make_method(name: str, options: dict[str, Any], title: str, backbone: Backbone | None = None) -> Method:
    """Look a method up and check its options, and that it can explain ``backbone`` if one is given."""
    spec = EXPLAINERS.get(name)
    checked = check_options(f"method '{name}'", spec.function, options)
    if backbone is not None:
        try:
            spec.check(backbone, checked)
        except UserError as error:
            raise UserError(f"method '{title}': {error}") from None
    return Method(title, spec, checked)


def closed_form_or_head(backbone: Backbone, options: dict[str, Any]) -> str:
    """Which path of a method with the option ``path`` will run: the closed form where it holds, or the batched head."""
    path = options.get("path", "auto")
    if path == "auto":
        return "closed-form" if backbone.linear is not None else "batched-head"
    return path


def closed_form_must_hold(backbone: Backbone, options: dict[str, Any]) -> None:
    """The check of methods with an option ``path``: the closed form is only there on a pooled linear head."""
    if closed_form_or_head(backbone, options) == "closed-form" and backbone.linear is None:
        raise UserError(
            f"{backbone.name} split at '{backbone.layer}' has no pooled linear head, so there is no closed form; "
            "set path to auto or batched-head"
        )


def needs_linear_head(backbone: Backbone, options: dict[str, Any]) -> None:
    """The check of methods that are defined only behind global average pooling and one linear layer."""
    if backbone.linear is None:
        raise UserError(
            f"this method needs a head of global average pooling and one linear layer; {backbone.name} split at "
            f"'{backbone.layer}' has another; leave the method out or choose another layer"
        )
