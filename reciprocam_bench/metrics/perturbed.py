"""Images with ever more of their pixels changed, and what the network answers."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Ask = Callable[..., Tensor]
# Changed images that are made at once: more are of no use to `ask`, and would only fill the memory.
_AT_ONCE = 64


def answers(ask: Ask, count: int, changed: Callable[[Any], Tensor], steps: Sequence[Any]) -> Tensor:
    """The network's answers to each of ``count`` images at each step, ``(N, steps)``.

    ``changed`` gives all images of the batch, ``(N, 3, H, W)``, as they are at a step.
    """
    together, found = max(1, _AT_ONCE // count), []
    for first in range(0, len(steps), together):
        images = torch.cat([changed(step) for step in steps[first : first + together]])
        rows = torch.arange(count, device=images.device).repeat(len(images) // count)
        found.append(ask(images, rows).view(-1, count))
    return torch.cat(found).T


def pixel_ranks(saliency: Tensor) -> Tensor:
    """Each pixel's place by descending saliency, from 0 on, ties in reading order; ``(N, H, W)``."""
    return saliency.flatten(1).argsort(dim=1, descending=True, stable=True).argsort(dim=1).view_as(saliency)


def cell_ranks(maps: Tensor, size: tuple[int, int], cells: int) -> Tensor:
    """Each pixel's place by descending value of its cell, from 0 on, for a square grid of cells; ``(N, H, W)``.

    A cell reaches one pixel into its right and its lower neighbour: such a pixel has the lower place of its cells. A
    map of another size is averaged in the cells.
    """
    places = pixel_ranks(F.adaptive_avg_pool2d(maps[:, None], cells)[:, 0])
    (top, above), (left, before) = (_cells_of(length, cells, maps.device) for length in size)
    return torch.stack([places[:, y][:, :, x] for y in (top, above) for x in (left, before)]).amin(0)


def _cells_of(length: int, cells: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The cell of each pixel along a side, and the one before it where that reaches in."""
    pixels = torch.arange(length, device=device)
    edges = torch.arange(1, cells, device=device) * length // cells
    own = torch.bucketize(pixels, edges, right=True)
    return own, own - torch.isin(pixels, edges).long()


def blurred(images: Tensor) -> Tensor:
    """RISE's start of insertion: an 11x11 kernel of sigma 5, folded back at its own border, over black padding."""
    from scipy import ndimage  # here, as every run loads this module and few ask for it

    delta = torch.zeros(11, dtype=torch.float64)
    delta[5] = 1
    line = torch.from_numpy(ndimage.gaussian_filter1d(delta.numpy(), 5, mode="reflect")).to(images)
    kernel = torch.outer(line, line).expand(images.shape[1], 1, 11, 11)
    return F.conv2d(images, kernel, padding=5, groups=images.shape[1])


def area(scores: Tensor, at: Tensor) -> Tensor:
    """Area under each row of ``scores (N, n)`` at the places ``at (n,)``, by trapezia, ``(N,)``."""
    return torch.trapezoid(scores, at.to(scores), dim=1)
