"""Single deletion: does a part of the picture weigh in the map what its loss costs?"""

import torch
from torch import Tensor

from reciprocam_bench.metrics.correlation import spearman
from reciprocam_bench.metrics.perturbed import Ask, answers
from reciprocam_bench.metrics.registry import metric

_GRID = 4


@metric("single_deletion", title="Single deletion", higher_is_better=True, forwards=_GRID**2)
def single_deletion(images: Tensor, saliency: Tensor, probability: Tensor, ask: Ask) -> Tensor:
    """Spearman of the map's sum in each of 4x4 cells and of what the class loses with that cell at 0, ``(N,)``.

    Hesse et al. 2024 (IDSDS, arXiv 2407.11910), with probabilities; in [-1, 1], 0 where one of the two is the same for
    all cells.

    Pitfall: 16 cells are coarse; where in a cell a map lies is not seen.
    """
    height, width = images.shape[2:]
    rows, columns = (torch.arange(length, device=images.device) * _GRID // length for length in (height, width))
    cells = rows[:, None] * _GRID + columns  # (H, W)
    sums = torch.zeros(len(images), _GRID**2, device=images.device).to(saliency)
    sums = sums.index_add(1, cells.flatten(), saliency.flatten(1))
    found = answers(ask, len(images), lambda cell: images * (cells != cell), range(_GRID**2))
    return spearman(sums, probability[:, None] - found).nan_to_num(nan=0.0)
