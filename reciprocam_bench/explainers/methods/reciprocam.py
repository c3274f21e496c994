"""Recipro-CAM: what the head says when it sees one position of the feature map alone."""

from typing import Any, Literal

import torch
from torch import Tensor

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.chunks import in_chunks
from reciprocam_bench.explainers.closed_form import closed_form_must_hold, closed_form_or_head
from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.explainers.masks import GAUSSIAN, Mask, Score, spatial_masks
from reciprocam_bench.explainers.registry import explainer

Path = Literal["auto", "closed-form", "batched-head", "reference"]


def closed_form(fp: ForwardPass, mask: Mask) -> Tensor:
    """Logits at every position without running the head, ``(N, h*w, K)``."""
    linear = fp.backbone.linear
    assert linear is not None
    return pooled_linear_logits(fp.features, linear.weight, linear.bias, mask)


def pooled_linear_logits(features: Tensor, weight: Tensor, bias: Tensor, mask: Mask) -> Tensor:
    """The closed form: ``(N, C, h, w), (K, C), (K,)`` to logits at every position, ``(N, h*w, K)``.

    Behind global average pooling and one linear layer, a map that holds ``A_k`` spread with total weight ``s_k``
    gives ``W A_k s_k / (h w) + b``: one matrix product for all positions and classes.
    """
    cells = features.flatten(2).transpose(1, 2)  # (N, h*w, C)
    return cells @ weight.T * pooled_share(mask, features)[:, None] + bias


def pooled_share(mask: Mask, features: Tensor) -> Tensor:
    """What global average pooling leaves of each position behind its mask: ``s_k / (h w)``, ``(h*w,)``."""
    h, w = features.shape[2:]
    positions = torch.arange(h * w, device=features.device)
    mass = spatial_masks(mask, h, w, positions).sum((1, 2)).to(features)
    return mass / (h * w)


def batched_head(fp: ForwardPass, mask: Mask) -> Tensor:
    """Logits at every position by running the head on all masked maps in chunks, ``(N, h*w, K)``."""
    n, c, h, w = fp.features.shape
    cells = fp.features.flatten(2).transpose(1, 2).reshape(n * h * w, c)  # (N*h*w, C)

    def seen(rows: Tensor) -> Tensor:
        masks = spatial_masks(mask, h, w, rows % (h * w)).to(cells)  # (rows, h, w)
        masked = cells[rows, :, None, None] * masks[:, None]  # (rows, C, h, w)
        return fp.head(masked, rows // (h * w))

    # The head holds the masked maps and about as much again in front of its pooling.
    each = 4 * c * h * w * fp.features.element_size()
    logits = torch.cat(list(in_chunks(fp.backbone, len(cells), seen, bytes_each=each, progress=fp.progress)))
    return logits.view(n, h * w, -1)


def reference(fp: ForwardPass, mask: Mask) -> Tensor:
    """Logits at every position one by one, as the paper's figure draws it, ``(N, h*w, K)``; for tests and timing."""
    n, _, h, w = fp.features.shape
    logits = fp.features.new_zeros(n, h * w, fp.backbone.num_classes)
    for image in range(n):
        for k in range(h * w):
            i, j = divmod(k, w)
            masked = torch.zeros_like(fp.features[image : image + 1])
            if mask == "one-hot":
                masked[0, :, i, j] = fp.features[image, :, i, j]
            else:
                for di, dj in ((a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)):
                    if 0 <= i + di < h and 0 <= j + dj < w:
                        masked[0, :, i + di, j + dj] = fp.features[image, :, i, j] * GAUSSIAN[1 + di, 1 + dj].item()
            logits[image, k] = fp.head(masked, torch.tensor([image], device=masked.device))[0]
        fp.progress((image + 1) / n)
    return logits


_PATHS = {"closed-form": closed_form, "batched-head": batched_head, "reference": reference}


def _check(backbone: Backbone, options: dict[str, Any]) -> None:
    if backbone.split == "call":
        raise UserError(
            f"it asks about every position of a feature map, which at layer '{backbone.layer}' is every pixel; take "
            "blackboxreciprocam"
        )
    closed_form_must_hold(backbone, options)


def reciprocam_class_maps(
    fp: ForwardPass, *, mask: Mask = "one-hot", score: Score = "softmax", path: Path = "auto"
) -> Tensor:
    """Recipro-CAM of every class, ``(N, K, h, w)``; as cheap as that of one class. Options as in `reciprocam`."""
    _check(fp.backbone, {"path": path})
    n, _, h, w = fp.features.shape
    with torch.no_grad():
        logits = _PATHS[closed_form_or_head(fp.backbone, {"path": path})](fp, mask)  # (N, h*w, K)
        scores = fp.backbone.probabilities(logits) if score == "softmax" else logits
    return scores.transpose(1, 2).reshape(n, -1, h, w)


@explainer(
    "reciprocam",
    forwards=lambda backbone, options: 10.0 if options.get("path") == "reference" else 1.3,
    implementation=closed_form_or_head,
    check=_check,
    class_maps=reciprocam_class_maps,
)
def reciprocam(fp: ForwardPass, *, mask: Mask = "one-hot", score: Score = "softmax", path: Path = "auto") -> Tensor:
    """``M_c(i, j) = score_c(head(A * m_ij))`` with a mask per position (Byun & Lee 2024, arXiv 2209.14074).

    Cost: the shared forward and h*w head passes, or one matrix product where the head is pooled and linear.

    Args:
        fp: the forward pass.
        mask: ``one-hot`` (the paper's figure: the position's vector where it is) or ``gaussian`` (the first released
            code: that vector copied to its 3x3 neighbourhood; the neighbours' own are not used). See `spatial_masks`.
        score: ``softmax`` probability (all of the authors' code; sigmoid on a multi-label network) or ``logit``
            (OpenVINO XAI).
        path: three ways to the same numbers; ``auto`` takes the cheapest that holds.
    """
    maps = reciprocam_class_maps(fp, mask=mask, score=score, path=path)
    return maps[torch.arange(len(fp), device=maps.device), fp.classes]
