"""Score-CAM: channels weighted by what the network says of the image seen through each of them."""

from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.explainers.forward_pass import ForwardPass, of_class
from reciprocam_bench.explainers.registry import explainer

Variant = Literal["paper", "torch-cam", "grad-cam"]


@explainer("scorecam", forwards=lambda backbone, options: _channels(backbone, options))
def scorecam(
    fp: ForwardPass,
    *,
    variant: Variant = "paper",
    channels: Annotated[int, Field(ge=1)] | None = None,
) -> Tensor:
    """``ReLU(sum_k s_k A_k)``, ``s_k`` the score of ``x * minmax(upsample(A_k))`` (Wang et al. 2020, 1910.01279).

    Cost: one full forward per channel that is not constant and whose mask no other channel shares.

    Args:
        fp: the forward pass.
        variant: what the libraries do not agree on.
            ``paper``: the authors' code; the weight is the class probability, constant channels are skipped.
            ``torch-cam`` (0.3.2 and later): masks normalised before upsampling; weights are a softmax over channels
            of the class logits (the baseline it subtracts cancels there).
            ``grad-cam``: masks upsampled with aligned corners; softmax over channels of the class logits.
        channels: score only this many channels of largest variance in each image. An approximation, not Score-CAM.

    The ReLU is taken at feature resolution; the authors' code takes it after upsampling, which is the same wherever
    the features are not negative.
    """
    # (N, C, h*w); equal after min-max at feature resolution means equal masks at any size
    flat = fp.features.flatten(2)
    low, high = flat.amin(2, keepdim=True), flat.amax(2, keepdim=True)
    live = (high > low).squeeze(2)  # (N, C)
    used = live if channels is None else live & _most_variable(flat, channels)
    shapes = (flat - low) / torch.where(high > low, high - low, 1.0)
    with torch.no_grad():
        scores = _channel_scores(fp, shapes, used, variant)  # (N, C), 0 where not scored
        if variant != "paper":
            kept = torch.ones_like(used) if channels is None else _most_variable(flat, channels)
            scores = _softmax_over_channels(fp, scores, live, kept)
    return torch.einsum("nchw,nc->nhw", fp.features, scores).relu()


def _channels(backbone: Backbone, options: dict[str, Any]) -> float:
    return float(min(options.get("channels") or backbone.feature_shape[0], backbone.feature_shape[0]))


def _most_variable(flat: Tensor, channels: int) -> Tensor:
    """True for the ``channels`` channels of largest variance in each image, ``(N, C)``."""
    best = flat.var(2).topk(min(channels, flat.shape[1]), dim=1).indices
    return torch.zeros(flat.shape[:2], dtype=torch.bool, device=flat.device).scatter_(1, best, True)


def _channel_scores(fp: ForwardPass, shapes: Tensor, used: Tensor, variant: Variant) -> Tensor:
    """Score every used channel once: probabilities for ``paper``, logits otherwise; ``(N, C)``, 0 elsewhere."""
    h, w = fp.features.shape[2:]
    masks, images, targets = [], [], []
    rows = 0
    for n in range(len(fp)):
        # Channels that fire at one and the same position alone are one mask; score it once (about 10 % on real images).
        unique, inverse = torch.unique(shapes[n, used[n]], dim=0, return_inverse=True)
        masks.append(unique.view(-1, h, w))
        images.append(torch.full((len(unique),), n, device=unique.device))
        targets.append(inverse + rows)
        rows += len(unique)
    row_scores = _mask_scores(fp, torch.cat(masks), torch.cat(images), variant)
    scores = torch.zeros_like(shapes[:, :, 0])
    scores[used] = row_scores[torch.cat(targets)]
    return scores


def _mask_scores(fp: ForwardPass, masks: Tensor, images: Tensor, variant: Variant) -> Tensor:
    """Score ``images[i]`` seen through low-resolution mask i, in chunks of equal size: ``(R, h, w), (R,) -> (R,)``."""
    if not len(masks):
        return masks.new_zeros(0)
    count = -(-len(masks) // fp.backbone.chunk_size())
    scores, done = [], 0
    for chunk, rows in zip(masks.tensor_split(count), images.tensor_split(count), strict=True):
        masked = fp.images[rows] * _upsample(chunk, fp.images.shape[2:], variant)
        logits = fp.backbone(fp.backbone.prepare(masked))
        scores.append(of_class(fp.backbone.probabilities(logits) if variant == "paper" else logits, fp.classes[rows]))
        done += len(chunk)
        fp.progress(done / len(masks))
    return torch.cat(scores)


def _upsample(masks: Tensor, size: torch.Size, variant: Variant) -> Tensor:
    """Masks ``(M, h, w)`` in [0, 1] to ``(M, 1, H, W)`` in [0, 1]."""
    masks = F.interpolate(masks[:, None], size=size, mode="bilinear", align_corners=variant == "grad-cam")
    if variant == "torch-cam":
        return masks
    low, high = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
    return (masks - low) / torch.where(high > low, high - low, 1.0)


def _softmax_over_channels(fp: ForwardPass, logits: Tensor, live: Tensor, kept: Tensor) -> Tensor:
    """Softmax over the kept channels; constant ones all show a black image, which is scored once a batch."""
    black = fp.backbone(fp.backbone.prepare(torch.zeros_like(fp.images[:1]))).expand(len(fp), -1)
    logits = torch.where(live, logits, of_class(black, fp.classes)[:, None])
    return logits.masked_fill(~kept, -torch.inf).softmax(1)
