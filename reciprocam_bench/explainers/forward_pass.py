"""What every explainer receives: one forward pass, made once and shared by all methods."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from reciprocam_bench.backbones.backbone import Backbone


def _ignore(share: float) -> None:
    """Nobody watches the progress."""


def of_class(scores: Tensor, classes: Tensor) -> Tensor:
    """Pick each row's class: ``(N, K), (N,) -> (N,)``."""
    return scores.gather(1, classes[:, None]).squeeze(1)


@dataclass(frozen=True)
class ForwardPass:
    """Images, what the backbone made of them, and the class to explain for each.

    Attributes:
        images: ``(N, 3, H, W)``, preprocessed, on the backbone's device.
        features: ``(N, C, h, w)``, the output of the backbone's layer.
        logits: ``(N, K)``.
        classes: ``(N,)`` class indices, int64.
        progress: called by slow methods with the share of their work that is done, 0 to 1.
        context: tokens that cross the cut beside the map, ``(N, P, C)``; None for networks without.
        score: what gradient methods differentiate, of logits ``(N, K)`` and classes ``(N,)``, ``(N,)``: the logit of
            the class, unless a method asks another question (FinerCAM, ShapleyCAM).
        objects: share of each pixel that the annotated objects of the class cover, ``(N, H, W)``, 0 to 1; NaN in images
            where nothing is annotated for it. None unless a method of the run asks for it.
    """

    backbone: Backbone
    images: Tensor
    features: Tensor
    logits: Tensor
    classes: Tensor
    progress: Callable[[float], None] = _ignore
    context: Tensor | None = None
    score: Callable[[Tensor, Tensor], Tensor] = of_class
    objects: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def probabilities(self) -> Tensor:
        """Probability of each image's class, ``(N,)``."""
        return of_class(self.backbone.probabilities(self.logits), self.classes)

    @property
    def uncompiled(self) -> "ForwardPass":
        """The same pass, for methods that look inside the network: hooks, function modes, second derivatives."""
        return replace(self, backbone=self.backbone.uncompiled)

    def head(self, maps: Tensor, images: Tensor | None = None) -> Tensor:
        """Logits ``(M, K)`` of the network with ``maps (M, C, h, w)`` in place of the feature maps.

        ``images (M,)`` says which image each map stands for; left out, there is one map an image.
        """
        if self.context is None:
            return self.backbone.classify(maps)
        return self.backbone.classify(maps, usable(self.context if images is None else self.context[images]))

    def copy(self) -> "ForwardPass":
        """The same pass in tensors of its own, for what may change them in place."""
        tensors: dict[str, Any] = {
            f.name: t.clone() for f in fields(self) if isinstance(t := getattr(self, f.name), Tensor)
        }
        return replace(self, **tensors)

    def at(self, layer: str) -> "ForwardPass":
        """The same images and classes, seen at another layer of the network; costs a forward up to there."""
        if layer == self.backbone.layer:
            return self
        backbone = self.backbone.at(layer)
        with torch.no_grad():
            features, context = backbone.encode(self.images)
        return replace(self, backbone=_for_maps(backbone, features), features=features, context=context)

    def select(self, images: Tensor, classes: Tensor) -> "ForwardPass":
        """The same pass seen as one for the given images (indices, ``(M,)``; repeats allowed) and classes ``(M,)``.

        Not for methods that ask ``score``: it may have been made for this very batch.
        """
        context = None if self.context is None else self.context[images]
        return replace(
            self,
            images=self.images[images],
            features=self.features[images],
            logits=self.logits[images],
            classes=classes,
            context=context,
            objects=None if self.objects is None else self.objects[images],
        )


def forward_pass(
    backbone: Backbone,
    images: Tensor,
    classes: Tensor | None = None,
    progress: Callable[[float], None] = _ignore,
) -> ForwardPass:
    """Run the backbone once on ``images (N, 3, H, W)``; the class explained is the predicted one if not given."""
    with torch.no_grad():
        images = backbone.prepare(images)
        features, context = backbone.encode(images)
        logits = backbone.classify(features, context)
    classes = logits.argmax(1) if classes is None else classes.to(logits.device, torch.int64)
    return ForwardPass(_for_maps(backbone, features), images, features, logits, classes, progress, context)


def _for_maps(backbone: Backbone, features: Tensor) -> Backbone:
    """The backbone, which says of its head whether the closed form holds for maps of this size."""
    linear = backbone.linear
    if linear is None or linear.size in (None, tuple(features.shape[2:])):
        return backbone
    return replace(backbone, linear=replace(linear, holds=False))


def head_gradients(fp: ForwardPass) -> Tensor:
    """``d score / dA`` for each image's class, ``(N, C, h, w)``; only the head is differentiated."""
    with differentiable(fp.features) as features:
        score = fp.score(fp.head(features), usable(fp.classes))
        return torch.autograd.grad(score.sum(), features)[0]


@contextmanager
def differentiable(tensor: Tensor) -> Iterator[Tensor]:
    """A leaf with the values of ``tensor``, in a scope where gradients flow, whatever the caller's mode is."""
    with torch.inference_mode(False), torch.enable_grad():
        yield usable(tensor).detach().requires_grad_()


def usable(tensor: Tensor) -> Tensor:
    """The tensor itself, or a copy of one made in inference mode, which could not be saved for a backward pass."""
    return tensor.clone() if tensor.is_inference() else tensor
