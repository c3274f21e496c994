"""Pointing game: does the map's maximum lie on the object? The three rules that were published."""

import torch
from torch import Tensor

from reciprocam_bench.metrics.registry import metric

_TOLERANCE = 15


@metric("pointing_game", title="Pointing", higher_is_better=True, aggregation="mean-of-classes")
def pointing_game(located: Tensor, objects: Tensor) -> Tensor:
    """Hit if an object pixel lies closer than 15 px to the first maximum (Zhang et al. 2016; as coded in TorchRay).

    Accuracy per category, then the mean over categories. ``(G, H, W), (G, H, W) -> (G,)``.

    Pitfall: photographers put the subject in the middle (compare with `center`), and 15 px forgive much on a small
    picture.
    """
    height, width = located.shape[1:]
    first = located.flatten(1).argmax(1)
    y, x = first // width, first % width
    reach = torch.arange(1 - _TOLERANCE, _TOLERANCE, device=located.device)
    dy, dx = torch.meshgrid(reach, reach, indexing="ij")
    near = dy**2 + dx**2 < _TOLERANCE**2
    yy, xx = y[:, None] + dy[near], x[:, None] + dx[near]  # (G, pixels of the disc)
    inside = (yy >= 0) & (yy < height) & (xx >= 0) & (xx < width)
    rows = torch.arange(len(located), device=located.device)[:, None]
    return (objects[rows, yy.clamp(0, height - 1), xx.clamp(0, width - 1)] & inside).any(1).float()


@metric("pointing_game_box", title="Pointing (box)", higher_is_better=True)
def pointing_game_box(located: Tensor, box_objects: Tensor) -> Tensor:
    """Hit if any tied maximum lies in a box; no tolerance, mean over all trials (as in OpenVINO XAI), ``(G,)``.

    Pitfall: a map with many equal maxima has many tries.
    """
    return _any_maximum_inside(located, box_objects)


@metric("pointing_game_mask", title="Pointing (mask)", higher_is_better=True)
def pointing_game_mask(located: Tensor, objects: Tensor) -> Tensor:
    """Hit if any tied maximum lies on the object's mask; no tolerance, mean over all trials (as in Quantus), ``(G,)``.

    An empty mask is a miss here; there it counts as a hit.

    Pitfall: a map with many equal maxima has many tries.
    """
    return _any_maximum_inside(located, objects)


def _any_maximum_inside(located: Tensor, objects: Tensor) -> Tensor:
    maxima = located == located.amax((1, 2), keepdim=True)
    return (maxima & objects).any(-1).any(-1).float()
