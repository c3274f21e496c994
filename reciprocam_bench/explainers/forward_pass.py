"""What every explainer receives: one forward pass, made once and shared by all methods."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from reciprocam_bench.backbones.backbone import Backbone


def _ignore(share: float) -> None:
    """Nobody watches the progress."""


@dataclass(frozen=True)
class ForwardPass:
    """Images, what the backbone made of them, and the class to explain for each.

    Attributes:
        images: ``(N, 3, H, W)``, preprocessed, on the backbone's device.
        features: ``(N, C, h, w)``, the output of the backbone's layer.
        logits: ``(N, K)``.
        classes: ``(N,)`` class indices, int64.
        progress: called by slow methods with the share of their work that is done, 0 to 1.
    """

    backbone: Backbone
    images: Tensor
    features: Tensor
    logits: Tensor
    classes: Tensor
    progress: Callable[[float], None] = _ignore

    def __len__(self) -> int:
        return len(self.images)

    @property
    def probabilities(self) -> Tensor:
        """Probability of each image's class, ``(N,)``."""
        return of_class(self.backbone.probabilities(self.logits), self.classes)

    def select(self, images: Tensor, classes: Tensor) -> "ForwardPass":
        """The same pass seen as one for the given images (indices, ``(M,)``; repeats allowed) and classes ``(M,)``."""
        return ForwardPass(
            self.backbone, self.images[images], self.features[images], self.logits[images], classes, self.progress
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
        features = backbone.features(images)
        logits = backbone.head(features)
    classes = logits.argmax(1) if classes is None else classes.to(logits.device, torch.int64)
    return ForwardPass(backbone, images, features, logits, classes, progress)


def of_class(scores: Tensor, classes: Tensor) -> Tensor:
    """Pick each row's class: ``(N, K), (N,) -> (N,)``."""
    return scores.gather(1, classes[:, None]).squeeze(1)


def head_gradients(fp: ForwardPass) -> Tensor:
    """``d logit_c / dA`` for each image's class, ``(N, C, h, w)``; only the head is differentiated."""
    with torch.inference_mode(False), torch.enable_grad():
        # A caller's inference mode makes tensors that cannot be differentiated; a copy can.
        features = fp.features.clone() if fp.features.is_inference() else fp.features.detach()
        features.requires_grad_()
        classes = fp.classes.clone() if fp.classes.is_inference() else fp.classes
        score = of_class(fp.backbone.head(features), classes).sum()
        return torch.autograd.grad(score, features)[0]
