"""Insertion and deletion: how fast the class comes and goes with the pixels that a map marks most."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from reciprocam_bench.errors import UserError
from reciprocam_bench.metrics.perturbed import Ask, answers, area, blurred, cell_ranks, pixel_ranks
from reciprocam_bench.metrics.registry import metric
from reciprocam_bench.protocols.maps import normalise

Variant = Literal["rise", "torch-cam", "recipro-2024"]
Steps = Annotated[int, Field(ge=1, le=10_000)]
_GRID = 7
_STEPS = {"rise": 28, "torch-cam": 20, "recipro-2024": _GRID**2}


def _steps(variant: Variant = "rise", steps: int | None = None) -> int:
    if variant == "recipro-2024" and steps is not None:
        raise UserError(
            "insertion and deletion of recipro-2024 switch 49 cells; leave out steps, or set another variant"
        )
    return steps or _STEPS[variant]


def _asked(options: dict[str, Any]) -> int:
    return _steps(**options)


@metric("insertion_auc", title="Insertion", higher_is_better=True, forwards=_asked)
def insertion_auc(
    images: Tensor,
    raw: Tensor,
    saliency: Tensor,
    probability: Tensor,
    ask: Ask,
    *,
    variant: Variant = "rise",
    steps: Steps | None = None,
) -> Tensor:
    """Area under the class probability while the most salient pixels come into a blurred image, ``(N,)``.

    RISE (Petsiuk et al. 2018, arXiv 1806.07421, and its code): 28 steps of equally many pixels by descending map, ties
    in reading order, the first score that of the blurred image, the last that of the image.
    ``variant: torch-cam``: 20 steps, into a tensor of 0. ``variant: recipro-2024``: see `deletion_auc`; the rest of the
    image is its own channel means, the scores are the 49 and then that of the image.

    Pitfall: values of other variants, steps or fills have nothing to do with each other.
    """
    steps = _steps(variant, steps)
    if variant == "recipro-2024":
        mean = images.mean((2, 3), keepdim=True).expand_as(images)
        found = _switched(images, raw, ask, lambda cells: torch.where(cells, images, mean))
        return _area_of_cells(torch.cat([found, probability[:, None]], dim=1))
    start = blurred(images) if variant == "rise" else torch.zeros_like(images)
    ranks, counts = pixel_ranks(saliency)[:, None], _counts(saliency, steps)
    found = answers(ask, len(images), lambda count: torch.where(ranks < count, images, start), counts[:-1].tolist())
    return area(torch.cat([found, probability[:, None]], dim=1), counts / counts[-1])


@metric("deletion_auc", title="Deletion", higher_is_better=False, forwards=_asked)
def deletion_auc(
    images: Tensor,
    raw: Tensor,
    saliency: Tensor,
    probability: Tensor,
    ask: Ask,
    *,
    variant: Variant = "rise",
    steps: Steps | None = None,
) -> Tensor:
    """Area under the class probability while the most salient pixels of the normalised image become 0, ``(N,)``.

    As `insertion_auc`; ``variant: torch-cam`` takes 20 steps. ``variant: recipro-2024`` (the authors' script; Byun and
    Lee 2024): 49 cells of 32x32 at 224 pixels, by descending value of the 7x7 map; a cell reaches one pixel into the
    cells to its right and below. The scores are that of the image and the 49; the area of unit steps is divided by 50.

    Pitfall: half-deleted pictures are none that the network was trained on: part of every fall is surprise.
    """
    steps = _steps(variant, steps)
    if variant == "recipro-2024":
        found = _switched(images, raw, ask, lambda cells: images * ~cells)
        return _area_of_cells(torch.cat([probability[:, None], found], dim=1))
    ranks, counts = pixel_ranks(saliency)[:, None], _counts(saliency, steps)
    found = answers(ask, len(images), lambda count: images * (ranks >= count), counts[1:].tolist())
    return area(torch.cat([probability[:, None], found], dim=1), counts / counts[-1])


def _counts(saliency: Tensor, steps: int) -> Tensor:
    """How many pixels are changed at the start and after each step; the last steps are short, or have none left."""
    pixels = saliency[0].numel()
    return (torch.arange(steps + 1, device=saliency.device) * -(-pixels // steps)).clamp(max=pixels)


def _switched(images: Tensor, raw: Tensor, ask: Ask, changed: Callable[[Tensor], Tensor]) -> Tensor:
    """Answers after each of the 49 cells; ``changed`` makes the images of the pixels that were switched so far."""
    ranks = cell_ranks(normalise(raw), (images.shape[2], images.shape[3]), _GRID)[:, None]
    return answers(ask, len(images), lambda count: changed(ranks < count), range(1, _GRID**2 + 1))


def _area_of_cells(scores: Tensor) -> Tensor:
    count = scores.shape[1]
    return area(scores, torch.arange(count, device=scores.device)) / count
