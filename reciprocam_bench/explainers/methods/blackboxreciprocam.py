"""Recipro-CAM for networks that can only be called: one patch of the image shown at a time."""

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.explainers.chunks import in_chunks
from reciprocam_bench.explainers.forward_pass import ForwardPass, of_class
from reciprocam_bench.explainers.masks import GAUSSIAN, Mask, Score
from reciprocam_bench.explainers.registry import explainer


def patch_masks(cells: Tensor, columns: int, size: tuple[int, int], stride: int, patch: int, mask: Mask) -> Tensor:
    """What is shown of the image for each cell (index, ``(M,)``) of a grid of ``stride`` pixels, ``(M, H, W)``.

    ``one-hot``: a square of ``patch`` pixels around the cell's centre. ``gaussian``: such squares around the cell and
    its eight neighbours, with the weights ``[1 2 1; 2 4 2; 1 2 1] / 16``, the largest where they overlap.
    """
    centres = torch.stack([cells // columns, cells % columns], 1) * stride + stride / 2  # (M, 2), y and x in pixels
    y, x = (torch.arange(side, device=cells.device) + 0.5 for side in size)
    shown = torch.zeros(len(cells), *size, device=cells.device)
    steps = [(0, 0)] if mask == "one-hot" else [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    for i, j in steps:
        rows = _shown(y - (centres[:, :1] + i * stride), patch)  # (M, H)
        columns_shown = _shown(x - (centres[:, 1:] + j * stride), patch)  # (M, W)
        weight = 1.0 if mask == "one-hot" else GAUSSIAN[1 + i, 1 + j].item()
        shown = torch.maximum(shown, weight * (rows[:, :, None] & columns_shown[:, None, :]))
    return shown


def _shown(distance: Tensor, patch: int) -> Tensor:
    """Whether a pixel's centre so far from the square's is in it: ``patch`` pixels a side, wherever its centre lies."""
    return (distance >= -patch / 2) & (distance < patch / 2)


def _forwards(backbone: Backbone, options: dict[str, Any]) -> float:
    return float((-(-backbone.preprocessing.crop // options.get("stride", 16))) ** 2)


@explainer("blackboxreciprocam", forwards=_forwards)
def blackboxreciprocam(
    fp: ForwardPass,
    *,
    patch: Annotated[int, Field(ge=1)] = 32,
    stride: Annotated[int, Field(ge=1)] = 16,
    mask: Mask = "one-hot",
    score: Score = "softmax",
) -> Tensor:
    """``M_c(i, j) = score_c(x * m_ij)``: the class score of one patch of the image, ``(N, ceil(H/stride), ...)``.

    The authors' variant for networks that cannot be split (2209.14074; patches of 32 pixels that overlap by 16). Only
    calls the network (``layer: image`` takes any callable). Black is 0 after preprocessing. Cost: a full forward for
    each cell of the grid. No gradients.

    Args:
        fp: the forward pass.
        patch: side of the square that is shown, in pixels.
        stride: distance of two squares, in pixels; a cell of the map.
        mask: ``one-hot`` or ``gaussian``, see `patch_masks`.
        score: ``softmax`` probability (sigmoid on a multi-label network) or ``logit``.
    """
    size = (fp.images.shape[2], fp.images.shape[3])
    rows, columns = (-(-side // stride) for side in size)

    def shown(cells: Tensor) -> Tensor:
        masks = patch_masks(cells, columns, size, stride, patch, mask)[:, None].to(fp.images)  # (M, 1, H, W)
        scores = []
        for image, explained in zip(fp.images, fp.classes, strict=True):
            logits = fp.backbone(fp.backbone.prepare(image * masks))
            values = fp.backbone.probabilities(logits) if score == "softmax" else logits
            scores.append(of_class(values, explained.expand(len(cells))))
        return torch.stack(scores, 1)  # (M, N)

    with torch.no_grad():
        scores = torch.cat(list(in_chunks(fp.backbone, rows * columns, shown, progress=fp.progress)))
    return scores.T.reshape(len(fp), rows, columns)
