"""What the network says of an image seen through each channel: the weights of the Score-CAM family."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.explainers.chunks import in_chunks
from reciprocam_bench.explainers.forward_pass import ForwardPass, of_class
from reciprocam_bench.explainers.scale import min_max

Variant = Literal["paper", "torch-cam", "grad-cam"]
# What a method does to the masks (M, 1, H, W), in [0, 1], of the images (M,) before they are laid on.
Change = Callable[[Tensor, Tensor], Tensor]


def channel_weights(
    fp: ForwardPass, variant: Variant, channels: int | None = None, changes: Sequence[Change] = (lambda m, i: m,)
) -> Tensor:
    """Weight of every channel, ``(N, C)``: its score averaged over ``changes``, one full forward each.

    ``paper``: the class probability; constant channels are skipped. ``torch-cam`` and ``grad-cam``: a softmax over
    channels of the class logit, in which constant channels take part with a black image. With ``channels`` only that
    many of largest variance are scored; the others weigh 0.
    """
    # (N, C, h*w); equal after min-max at feature resolution means equal masks at any size
    flat = fp.features.flatten(2)
    used = torch.ones_like(flat[:, :, 0], dtype=torch.bool) if channels is None else _most_variable(flat, channels)
    if variant == "paper":
        used = used & (flat.amax(2) > flat.amin(2))
    shapes = min_max(flat, (2,))
    with torch.no_grad():
        scores = _channel_scores(fp, shapes, used, variant, changes)
    return scores if variant == "paper" else scores.masked_fill(~used, -torch.inf).softmax(1)


def forwards_of(backbone: Backbone, channels: int | None = None) -> float:
    """How many full forwards an image costs for one change of its masks."""
    return float(min(channels or backbone.feature_shape[0], backbone.feature_shape[0]))


def _most_variable(flat: Tensor, channels: int) -> Tensor:
    """True for the ``channels`` channels of largest variance in each image, ``(N, C)``."""
    best = flat.var(2).topk(min(channels, flat.shape[1]), dim=1).indices
    return torch.zeros(flat.shape[:2], dtype=torch.bool, device=flat.device).scatter_(1, best, True)


def _channel_scores(
    fp: ForwardPass, shapes: Tensor, used: Tensor, variant: Variant, changes: Sequence[Change]
) -> Tensor:
    """Score every used channel: probabilities for ``paper``, logits otherwise; ``(N, C)``, 0 elsewhere.

    How many masks there are is counted here, for all images at once: the one place where a GPU is waited for.
    """
    h, w = fp.features.shape[2:]
    images, channels = used.nonzero(as_tuple=True)  # (U,) each
    # Channels that fire at one and the same position alone are one mask, and all constant ones are; score each once
    # (about 10 % on real images). An image's number stands in front of its masks, so that images share none.
    numbered = torch.cat([images[:, None].to(shapes), shapes[images, channels]], 1)  # (U, 1 + h*w)
    unique, inverse = torch.unique(numbered, dim=0, return_inverse=True)
    row_scores = _mask_scores(fp, unique[:, 1:].reshape(-1, h, w), unique[:, 0].long(), variant, changes)
    return torch.zeros_like(shapes[:, :, 0]).index_put((images, channels), row_scores[inverse])


def _mask_scores(fp: ForwardPass, masks: Tensor, images: Tensor, variant: Variant, changes: Sequence[Change]) -> Tensor:
    """Score ``images[i]`` seen through low-resolution mask i, in chunks of equal size: ``(R, h, w), (R,) -> (R,)``."""
    if not len(masks):
        return masks.new_zeros(0)
    scores: list[Tensor] = []
    done = 0

    def score(chunk: Tensor) -> Tensor:
        rows = images[chunk]
        upsampled = _upsample(masks[chunk], fp.images.shape[2:], variant)
        total = torch.zeros_like(masks[chunk, 0, 0])
        for number, change in enumerate(changes, 1):
            logits = fp.backbone(fp.backbone.prepare(fp.images[rows] * change(upsampled, rows)))
            values = fp.backbone.probabilities(logits) if variant == "paper" else logits
            total += of_class(values, fp.classes[rows])
            fp.progress(min(1.0, (done + len(chunk) * number / len(changes)) / len(masks)))
        return total / len(changes)

    for part in in_chunks(fp.backbone, len(masks), score):
        scores.append(part)
        done += len(part)
    return torch.cat(scores)


def _upsample(masks: Tensor, size: torch.Size, variant: Variant) -> Tensor:
    """Masks ``(M, h, w)`` in [0, 1] to ``(M, 1, H, W)`` in [0, 1]."""
    masks = F.interpolate(masks[:, None], size=size, mode="bilinear", align_corners=variant == "grad-cam")
    return masks if variant == "torch-cam" else min_max(masks, (2, 3))
