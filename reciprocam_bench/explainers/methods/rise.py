"""RISE: random masks on the image, averaged with the scores they leave."""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from reciprocam_bench.backbones.backbone import moved
from reciprocam_bench.explainers.chunks import in_chunks
from reciprocam_bench.explainers.forward_pass import ForwardPass, of_class
from reciprocam_bench.explainers.noise import Seed
from reciprocam_bench.explainers.registry import explainer


def random_masks(grids: Tensor, shifts: Tensor, height: int, width: int) -> Tensor:
    """Masks ``(M, H, W)``: grids ``(M, s, s)`` of 0 and 1, upsampled and cut out at ``shifts (M, 2)`` in [0, 1).

    They are made on the device of the grids. The grid is stretched to s + 1 times ``ceil(side / s)`` pixels; the cut
    moves by less than one such part, so that no cell border stays in place.
    """
    s = grids.shape[-1]
    cell_h, cell_w = -(-height // s), -(-width // s)
    size = ((s + 1) * cell_h, (s + 1) * cell_w)
    large = F.interpolate(grids[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
    tops, lefts = (shifts[:, 0] * cell_h).long(), (shifts[:, 1] * cell_w).long()
    rows = tops[:, None] + torch.arange(height, device=grids.device)  # (M, H)
    columns = lefts[:, None] + torch.arange(width, device=grids.device)  # (M, W)
    return large[torch.arange(len(large), device=grids.device)[:, None, None], rows[:, :, None], columns[:, None]]


@explainer("rise", forwards=lambda backbone, options: float(options.get("samples", 4000)))
def rise(
    fp: ForwardPass,
    *,
    samples: Annotated[int, Field(ge=1)] = 4000,
    cells: Annotated[int, Field(ge=1)] = 7,
    probability: Annotated[float, Field(gt=0, lt=1)] = 0.5,
    seed: Seed = 0,
) -> Tensor:
    """``sum_i p_c(x * m_i) m_i / (n p)`` over n random masks, ``(N, H, W)`` (Petsiuk et al. 2018, arXiv 1806.07421).

    Only calls the network. Masks are made in chunks and summed up as they go; all images see the same masks.
    Cost: ``samples`` full forwards. No gradients.

    Args:
        fp: the forward pass.
        samples: how many masks (the paper: 4,000 for VGG16, 8,000 for ResNet-50).
        cells: cells a side of the grid that is upsampled.
        probability: that a cell is shown.
        seed: of the masks.
    """
    generator = torch.Generator().manual_seed(seed)
    # The small grids all at once, so that chunks do not change what is drawn.
    grids = (torch.rand(samples, cells, cells, generator=generator) < probability).float()
    shifts = torch.rand(samples, 2, generator=generator)
    # Cells and shifts are small: one copy of each, which nothing waits for.
    grids, shifts = moved(grids, fp.images.device, fp.images.dtype), moved(shifts, fp.images.device)

    def share(rows: Tensor) -> Tensor:
        masks = random_masks(grids[rows], shifts[rows], *fp.images.shape[2:])  # (M, H, W)
        sums = []
        for image, explained in zip(fp.images, fp.classes, strict=True):
            logits = fp.backbone(fp.backbone.prepare(image * masks[:, None]))
            scores = of_class(fp.backbone.probabilities(logits), explained.expand(len(rows)))  # (M,)
            sums.append(torch.einsum("m,mhw->hw", scores, masks))
        return torch.stack(sums)[None]  # (1, N, H, W): no row of its own for each mask, so chunks are not padded

    total = fp.images.new_zeros(len(fp), *fp.images.shape[2:])
    with torch.no_grad():
        for part in in_chunks(fp.backbone, samples, share, progress=fp.progress, pad=False):
            total += part[0]
    return total / (samples * probability)
