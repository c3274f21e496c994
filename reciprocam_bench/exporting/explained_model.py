"""A module that returns logits and maps in one forward: what is exported, and what other programs can call."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.closed_form import closed_form_or_head
from reciprocam_bench.explainers.masks import spatial_masks
from reciprocam_bench.explainers.methods.reciprocam import pooled_share
from reciprocam_bench.explainers.methods.vitreciprocam import BehindNorm, number_of_norm
from reciprocam_bench.explainers.registry import Method, make_method
from reciprocam_bench.explainers.scale import min_max
from reciprocam_bench.registry import keyword_options
from reciprocam_bench.titles import parse_title

Resolution = Literal["features", "image"]
# What can be said of the classes besides their indices.
CHOICES = ("predicted", "input", "all")
METHODS = ("reciprocam", "vitreciprocam", "cam")


@dataclass(frozen=True)
class Form:
    """What the maps of an `ExplainedModel` are.

    Attributes:
        classes: ``predicted`` (of the class with the largest logit, ``(N, h, w)``), ``input`` (of a class an image,
            given beside the images, ``(N, h, w)``), ``all`` (``(N, K, h, w)``) or indices (``(N, M, h, w)``).
        normalise: scaled to [0, 1], each map by itself; a constant map becomes 0.
        resolution: of the ``features``, or of the ``image`` (bilinear, in front of the scaling).
        features: the feature maps ``(N, C, h, w)`` are a third output, at which the file can be split again.
    """

    classes: str | tuple[int, ...] = "predicted"
    normalise: bool = False
    resolution: Resolution = "features"
    features: bool = False

    def check(self, num_classes: int) -> None:
        """``UserError`` for classes that the network does not have, and an unknown resolution."""
        if self.resolution not in ("features", "image"):
            raise UserError(f"resolution '{self.resolution}': write features or image")
        if isinstance(self.classes, str):
            if self.classes not in CHOICES:
                raise UserError(f"classes '{self.classes}': write {', '.join(CHOICES)}, or indices such as 3,7")
        elif not self.classes or not all(0 <= index < num_classes for index in self.classes):
            raise UserError(f"classes {list(self.classes)}: indices are 0 to {num_classes - 1}, and at least one")

    @property
    def several(self) -> bool:
        """Whether an image has several maps."""
        return self.classes not in ("predicted", "input")


class ExplainedModel(nn.Module):
    """Images to ``(logits (N, K), maps)`` in one forward, gradients not needed.

    A plain module: it moves, copies, compiles and exports like any other. Recipro-CAM is one matrix product where the
    head is pooled and linear, and one pass of the head on all masked maps of a batch otherwise; such a batch is not
    divided, so it takes ``h w`` times the head's memory. So does ViT-ReciproCAM.

    Args:
        backbone: from `load_backbone` or `split_backbone`; its modules are used as they are, in float32.
        method: ``reciprocam``, ``vitreciprocam`` or ``cam``, also with options: ``reciprocam[mask=gaussian]``.
        form: what the maps are; its attributes are on `Form`.

    Raises:
        UserError: for another method, one that cannot explain the backbone, and classes that it does not have.

    Example:
        >>> import torch, reciprocam_bench as rb
        >>> backbone = rb.load_backbone("torchvision/resnet18", weights="none")
        >>> model = rb.ExplainedModel(backbone, "reciprocam", resolution="image")
        >>> [tuple(t.shape) for t in model(torch.zeros(2, 3, 224, 224))]
        [(2, 1000), (2, 224, 224)]
    """

    def __init__(self, backbone: Backbone, method: str = "reciprocam", **form: Any) -> None:
        super().__init__()
        self.form = Form(**_sequence_as_tuple(form))
        self.form.check(backbone.num_classes)
        self.method = _exportable(method, backbone)
        self.features, self.head = backbone.features, backbone.head
        self.multi_label = backbone.multi_label
        defaults = {name: p.default for name, p in keyword_options(self.method.spec.function).items()}
        self._options = defaults | self.method.options
        transformer = self.method.spec.name == "vitreciprocam"
        self.norm = number_of_norm(backbone) if transformer else None
        self.path = "batched-head" if transformer else closed_form_or_head(backbone, self.method.options)
        if backbone.linear is not None and backbone.linear.size and self._options.get("path") == "auto":
            self.path = "batched-head"  # which holds for maps of any size
        linear = backbone.linear if self.path == "closed-form" else None
        self.only_size = None if linear is None else linear.size
        self.weight: Tensor | None
        self.bias: Tensor | None
        self.register_buffer("weight", None if linear is None else linear.weight, persistent=False)
        self.register_buffer("bias", None if linear is None else linear.bias, persistent=False)

    def forward(self, images: Tensor, classes: Tensor | None = None) -> tuple[Tensor, ...]:
        """``(N, 3, H, W)``, and ``(N,)`` classes where they are not chosen yet, to logits, maps (and features)."""
        output = self.features(images)
        features, *context = output if isinstance(output, tuple) else (output,)
        if self.only_size is not None and tuple(features.shape[2:]) != self.only_size:
            raise UserError(
                f"the head pools maps of {self.only_size} as a whole, not of {tuple(features.shape[2:])}: give images "
                "of the size that the network was split for, or method reciprocam with path=batched-head"
            )
        logits = self.head(features, *context)
        maps = self._maps(features, context, self._wanted(logits, classes))
        if self.form.resolution == "image":
            maps = F.interpolate(maps, size=images.shape[2:], mode="bilinear", align_corners=False)
        if self.form.normalise:
            maps = min_max(maps, (2, 3))
        maps = maps if self.form.several else maps[:, 0]
        return (logits, maps, features) if self.form.features else (logits, maps)

    def _wanted(self, logits: Tensor, classes: Tensor | None) -> Tensor | None:
        """The classes of each image, ``(N, M)``; None for all."""
        chosen = self.form.classes
        if chosen == "all":
            return None
        if isinstance(chosen, tuple):
            return torch.tensor(chosen, device=logits.device).expand(logits.shape[0], -1)
        if classes is not None:
            return classes[:, None]
        if chosen == "input":
            raise UserError("this model explains the classes it is given: call model(images, classes)")
        return logits.argmax(1, keepdim=True)

    def _maps(self, features: Tensor, context: list[Tensor], wanted: Tensor | None) -> Tensor:
        """Raw maps of the wanted classes, ``(N, M, h, w)``."""
        n, _, h, w = features.shape
        if self.method.spec.name == "cam":
            assert self.weight is not None
            weights = self.weight.expand(n, -1, -1) if wanted is None else self.weight[wanted]  # (N, M, C)
            return (weights @ features.flatten(2)).unflatten(2, (h, w))
        scores = self._scores(self._position_logits(features, context))  # (N, h*w, K)
        if wanted is not None:
            scores = scores.gather(2, wanted[:, None].expand(-1, h * w, -1))
        return scores.transpose(1, 2).unflatten(2, (h, w))

    def _position_logits(self, features: Tensor, context: list[Tensor]) -> Tensor:
        """What the head says of each position alone, ``(N, h*w, K)``."""
        mask = self._options["mask"]
        if self.weight is not None and self.bias is not None:
            # `pooled_linear_logits` as a convolution: ONNX Runtime need not lay the features out anew for it.
            products = F.conv2d(features, self.weight[:, :, None, None]).flatten(2).transpose(1, 2)  # (N, h*w, K)
            return products * pooled_share(mask, features)[:, None] + self.bias
        n, _, h, w = features.shape
        masks = spatial_masks(mask, h, w).to(features)  # (h*w, h, w)
        beside = [tokens.repeat_interleave(h * w, 0) for tokens in context]
        if self.norm is None:
            cells = features.flatten(2).transpose(1, 2)  # (N, h*w, C)
            masked = (cells[:, :, :, None, None] * masks[:, None]).flatten(0, 1)  # (N*h*w, C, h, w)
            return self.head(masked, *beside).unflatten(0, (n, h * w))
        whole = features.repeat_interleave(h * w, 0)
        with BehindNorm(masks.flatten(1).repeat(n, 1), lambda number, _: number == self.norm):
            return self.head(whole, *beside).unflatten(0, (n, h * w))

    def _scores(self, logits: Tensor) -> Tensor:
        if self._options["score"] == "logit":
            return logits
        return logits.sigmoid() if self.multi_label else logits.softmax(-1)


def _sequence_as_tuple(form: dict[str, Any]) -> dict[str, Any]:
    classes = form.get("classes", "predicted")
    return form | {"classes": classes if isinstance(classes, str) else tuple(classes)}


def _exportable(title: str, backbone: Backbone) -> Method:
    options = parse_title(title)
    name = options.pop("name")
    method = make_method(name, options, title, backbone)
    if method.spec.name not in METHODS:
        raise UserError(f"method '{title}': a model can return the maps of {', '.join(METHODS)}")
    if method.options.get("path") == "reference":
        raise UserError(f"method '{title}': path reference is a loop; take closed-form, batched-head or auto")
    return method
