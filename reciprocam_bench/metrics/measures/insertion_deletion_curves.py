"""The curves of insertion and deletion, for plots: the areas under them are `insertion_auc` and `deletion_auc`."""

import torch
from torch import Tensor

from reciprocam_bench.aggregation import CURVE
from reciprocam_bench.metrics.perturbed import Ask, answers, blurred, pixel_ranks
from reciprocam_bench.metrics.registry import metric

_STEPS = 20
_SHARES = tuple(f"{100 * step // _STEPS:03d}" for step in range(_STEPS + 1))  # percent of the pixels


@metric(
    "insertion_curve",
    title="Insertion curve",
    higher_is_better=True,
    aggregation=CURVE,
    thresholds=_SHARES,
    forwards=_STEPS,
)
def insertion_curve(images: Tensor, saliency: Tensor, probability: Tensor, ask: Ask) -> Tensor:
    """Class probability with 0, 5, ... 100 % of the most salient pixels put into a blurred image, ``(N, 21)``.

    As RISE's insertion (Petsiuk et al. 2018, arXiv 1806.07421), at equal shares of the pixels for images of any size;
    the data set value is the area under the mean curve.

    Pitfall: 21 columns of rows an image; for the area alone ask for `insertion_auc`.
    """
    start, ranks = blurred(images), pixel_ranks(saliency)[:, None]
    counts = _counts(saliency)[:-1]
    found = answers(ask, len(images), lambda count: torch.where(ranks < count, images, start), counts)
    return torch.cat([found, probability[:, None]], dim=1)


@metric(
    "deletion_curve",
    title="Deletion curve",
    higher_is_better=False,
    aggregation=CURVE,
    thresholds=_SHARES,
    forwards=_STEPS,
)
def deletion_curve(images: Tensor, saliency: Tensor, probability: Tensor, ask: Ask) -> Tensor:
    """Class probability with 0, 5, ... 100 % of the most salient pixels of the normalised image at 0, ``(N, 21)``.

    As RISE's deletion; see `insertion_curve`.

    Pitfall: images of half their pixels are none that the network was trained on; part of every fall is surprise.
    """
    ranks, counts = pixel_ranks(saliency)[:, None], _counts(saliency)[1:]
    found = answers(ask, len(images), lambda count: images * (ranks >= count), counts)
    return torch.cat([probability[:, None], found], dim=1)


def _counts(saliency: Tensor) -> list[int]:
    """How many pixels each share is, to the nearest."""
    pixels = saliency[0].numel()
    return [(2 * step * pixels + _STEPS) // (2 * _STEPS) for step in range(_STEPS + 1)]
