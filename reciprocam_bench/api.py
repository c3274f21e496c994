"""``explain`` and ``evaluate``: one call each, for use without a config."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor

from reciprocam_bench.backbones.arithmetic import without_tf32
from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.config import NamedConfig
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import ForwardPass, forward_pass
from reciprocam_bench.explainers.registry import Method, make_method
from reciprocam_bench.metrics.evidence import Evidence
from reciprocam_bench.metrics.lookup import check_options_of, make_metrics
from reciprocam_bench.protocols.protocol import load_protocol
from reciprocam_bench.titles import parse_title

Classes = Tensor | list[int] | int | str | None
P = ParamSpec("P")
R = TypeVar("R")


def _own_precision(function: Callable[Concatenate[Backbone, P], R]) -> Callable[Concatenate[Backbone, P], R]:
    """The backbone's precision is what counts: autocast, or torch's TF32, would change maps without a word."""

    @wraps(function)
    def plain(backbone: Backbone, *args: P.args, **kwargs: P.kwargs) -> R:
        with ExitStack() as scopes:
            for device in ("cpu", "cuda", "mps"):
                if torch.is_autocast_enabled(device):
                    scopes.enter_context(torch.autocast(device, enabled=False))
            _check_backbone(backbone)
            if backbone.device.type != "cpu" and backbone.arithmetic.precision != "tf32":
                scopes.enter_context(without_tf32())
            return function(backbone, *args, **kwargs)

    return plain


@_own_precision
def explain(
    backbone: Backbone, images: Tensor, classes: Classes = None, method: str = "reciprocam", **options: Any
) -> Tensor:
    """Explain a batch of preprocessed images.

    Args:
        backbone: from `load_backbone` or `split_backbone`.
        images: ``(N, 3, H, W)``, preprocessed for the backbone.
        classes: an index for each image, one for all, None for the predicted classes, or ``"all"`` for the maps of
            every class (methods that have them cheaply: cam, reciprocam).
        method: a method's name, or a table's title such as ``reciprocam[mask=gaussian]``; ``options`` are its options.

    Returns:
        Raw maps ``(N, h, w)``, or ``(N, K, h, w)`` for ``classes="all"``, on the backbone's device.

    Raises:
        UserError: for an unknown method or option, or classes that do not fit.

    Example:
        >>> import torch, reciprocam_bench as rb
        >>> backbone = rb.load_backbone("torchvision/resnet18", weights="none")
        >>> rb.explain(backbone, torch.zeros(2, 3, 224, 224), classes=[3, 7]).shape
        torch.Size([2, 7, 7])
    """
    _check_images(backbone, images)
    chosen = _method(method, options, backbone)
    if isinstance(classes, str):
        if classes != "all" or chosen.spec.class_maps is None:
            raise UserError(f"classes='{classes}': {method} gives maps of one class an image; name the classes")
        return chosen.spec.class_maps(_run(backbone, images), **chosen.options)
    return chosen(_forward(backbone, images, classes))


@_own_precision
def evaluate(
    backbone: Backbone,
    images: Tensor,
    maps: Tensor,
    classes: Classes = None,
    protocol: str = "poppi-2021",
    method: str | None = None,
    metrics: Sequence[str | dict[str, Any]] = ("average_drop", "increase", "coherency", "complexity", "adcc"),
    **options: Any,
) -> dict[str, Tensor]:
    """Judge maps under a protocol.

    Args:
        backbone: the network the maps explain.
        images: ``(N, 3, H, W)``, preprocessed for the backbone.
        maps: raw maps ``(N, h, w)``.
        classes: the classes the maps explain, as in `explain`.
        protocol: its name.
        method: what explains the masked images again for coherency, with its ``options``.
        metrics: metric names, or ``{"name": …, "option": …}``.

    Returns:
        Per-image values ``(N,)`` as fractions, by metric.

    Raises:
        UserError: for unknown names, or a metric that explains changed images, as coherency does, without a method.

    Example:
        >>> import torch, reciprocam_bench as rb
        >>> backbone, images = rb.load_backbone("torchvision/resnet18", weights="none"), torch.rand(2, 3, 64, 64)
        >>> maps = rb.explain(backbone, images, method="gradcam")
        >>> scores = rb.evaluate(backbone, images, maps, method="gradcam")
        >>> list(scores), scores["adcc"].shape
        (['average_drop', 'increase', 'coherency', 'complexity', 'adcc'], torch.Size([2]))
    """
    _check_images(backbone, images)
    if not isinstance(maps, Tensor):
        raise UserError(f"maps must be a tensor (N, h, w); they are a {type(maps).__name__}")
    if maps.ndim != 3 or len(maps) != len(images):
        raise UserError(f"maps must be (N, h, w) with one map an image; they are {tuple(maps.shape)}")
    if method is None and options:
        raise UserError(f"options {', '.join(options)} are of a method; name it with method=")
    again = _method(method, options, backbone) if method else None
    chosen = make_metrics(NamedConfig.model_validate(parse_title(m) if isinstance(m, str) else m) for m in metrics)
    localised = next((name for name, metric in chosen.items() if metric.localised), None)
    if localised:
        raise UserError(f"{localised} needs annotated objects; rcam-bench run measures it")
    explains = [name for name, m in chosen.items() if again is None and m.needs("masked_explanation", "explain")]
    if explains:
        raise UserError(f"{explains[0]} explains changed images; name the method the maps were made with (method=)")
    own = load_protocol(protocol)
    check_options_of(own)
    evidence = Evidence(_forward(backbone, images, classes), maps.to(backbone.device), own, again)
    return {column: evidence.measure(metric) for column, metric in chosen.items()}


def _method(title: str, options: dict[str, Any], backbone: Backbone) -> Method:
    named = parse_title(title) | options
    return make_method(named.pop("name"), named, title, backbone)


def _check_backbone(backbone: Backbone) -> None:
    if not isinstance(backbone, Backbone):
        what = type(backbone).__name__
        raise UserError(f"a {what} is no backbone; make one with load_backbone, or split_backbone of your module")


def _check_images(backbone: Backbone, images: Tensor) -> None:
    wanted = f"(N, {len(backbone.preprocessing.mean)}, H, W)"
    if not isinstance(images, Tensor):
        raise UserError(f"images must be a tensor {wanted}; they are a {type(images).__name__}")
    if images.ndim != 4 or not len(images):
        raise UserError(f"images must be {wanted}; they are {tuple(images.shape)}")
    weight = next(backbone.features.parameters(), None)
    if not images.is_floating_point() or (weight is not None and images.dtype != weight.dtype):
        dtype = torch.float32 if weight is None else weight.dtype
        raise UserError(f"images are {images.dtype}, the network is {dtype}; preprocess them, then images.to({dtype})")


def _forward(backbone: Backbone, images: Tensor, classes: Classes) -> ForwardPass:
    _check_images(backbone, images)
    if isinstance(classes, str):
        raise UserError(f"classes='{classes}' is not understood here; give indices or None")
    if classes is not None:
        try:
            classes = torch.as_tensor(classes)
        except (ValueError, TypeError, RuntimeError):
            raise UserError(f"classes: indices are whole numbers, not {classes!r}") from None
        classes = classes.expand(len(images)) if classes.ndim == 0 else classes
        if classes.is_floating_point() or classes.dtype == torch.bool:
            raise UserError("classes: indices are whole numbers")
        if classes.shape != (len(images),):
            raise UserError(f"classes: {len(images)} images need as many indices, not {tuple(classes.shape)}")
        if len(classes) and not 0 <= int(classes.min()) <= int(classes.max()) < backbone.num_classes:
            raise UserError(f"classes: an index is outside 0 to {backbone.num_classes - 1}")
    return _run(backbone, images, classes)


def _run(backbone: Backbone, images: Tensor, classes: Tensor | None = None) -> ForwardPass:
    try:
        return forward_pass(backbone, images, classes)
    except (AssertionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"images {tuple(images.shape)} cannot be run through {backbone.name}, whose features were "
            f"{tuple(backbone.feature_shape)} on the example: {reason}"
        ) from error
