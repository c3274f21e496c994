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
    """An explainer and what others must know of it; all but name and function are keywords of `explainer`.

    Attributes:
        function: ``(ForwardPass, **options) -> (N, h, w)`` raw maps, of any size.
        forwards: ``(backbone, options) ->`` about how many full forward passes an image costs, for progress bars.
        implementation: ``(backbone, options) ->`` which of several equal ways will run, for timing tables.
        check: ``(backbone, options) -> None``; raises ``UserError`` where the method cannot explain this backbone.
        class_maps: ``(ForwardPass, **options) -> (N, K, h, w)``, the maps of all classes, where that is cheap.
        gradients: whether it differentiates the network: ``ForwardPass.score`` in the features, unless it has a
            question of its own.
        own_question: whether it differentiates something else, so that FinerCAM cannot put its score to it.
        fuses_layers: whether it reads several layers, so that it cannot be asked at one of them.
        class_blind: whether its maps are the same for every class of an image.
        random: whether it draws random numbers that belong to the image: another image or class has others.
        control: whether it explains nothing and is there to be beaten.
        objects: whether it asks for ``ForwardPass.objects``, the truth that methods are judged by.
        own_forward: whether its call runs the images through the network itself and needs no shared forward pass, as
            the classes of other libraries do.
    """

    name: str
    function: Callable[..., Tensor]
    forwards: Callable[[Backbone, dict[str, Any]], float] = lambda backbone, options: 1.0
    implementation: Callable[[Backbone, dict[str, Any]], str] = lambda backbone, options: ""
    check: Callable[[Backbone, dict[str, Any]], None] = lambda backbone, options: None
    class_maps: Callable[..., Tensor] | None = None
    gradients: bool = False
    own_question: bool = False
    fuses_layers: bool = False
    class_blind: bool = False
    random: bool = False
    control: bool = False
    objects: bool = False
    own_forward: bool = False


EXPLAINERS: Registry[ExplainerSpec] = Registry(
    "method", "reciprocam_bench.explainers.methods", "reciprocam_bench.explainers"
)


def explainer(
    name: str, *, aliases: tuple[str, ...] = (), **traits: Any
) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Register a function as the method ``name``; its keyword-only parameters are the options of a config.

    ``traits`` are attributes of `ExplainerSpec`.
    """

    def register(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        EXPLAINERS.add(name, ExplainerSpec(name, function, **traits), aliases)
        return function

    return register


@dataclass(frozen=True)
class Method:
    """An explainer with its options set: one row of a table."""

    title: str
    spec: ExplainerSpec
    options: dict[str, Any]

    def __call__(self, fp: ForwardPass) -> Tensor:
        """The function's raw maps ``(N, h, w)``, detached; ``TypeError`` where it returns no tensor."""
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
            _check_gradients(spec, backbone)
            spec.check(backbone, checked)
        except UserError as error:
            raise UserError(f"method '{title}': {error}") from None
    return Method(title, spec, checked)


def _check_gradients(spec: ExplainerSpec, backbone: Backbone) -> None:
    if spec.gradients and not backbone.differentiable:
        raise UserError(
            f"it differentiates the network, and ONNX Runtime, which runs {backbone.name}, has no gradients; take "
            "exported, blackboxreciprocam or rise, or scorecam and reciprocam where the feature maps are an output"
        )
