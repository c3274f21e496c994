"""What is annotated in the images of a batch, grouped by image size so that metrics run on stacks."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from reciprocam_bench.datasets.dataset import Box, Target
from reciprocam_bench.datasets.targets import object_mask, scaled_boxes
from reciprocam_bench.metrics.annotated import Annotated
from reciprocam_bench.protocols.protocol import Geometry


@dataclass(frozen=True)
class Group:
    """Annotated targets on images of one (width, height)."""

    size: tuple[int, int]
    targets: list[Target]

    @cached_property
    def boxes(self) -> list[list[Box]]:
        """Boxes in the images' pixels."""
        return [scaled_boxes(t, *self.size) for t in self.targets]

    @cached_property
    def objects(self) -> torch.Tensor:
        """Masks of the objects, ``(G, H, W)`` bool."""
        return torch.from_numpy(np.stack([object_mask(t, *self.size) for t in self.targets]))

    @cached_property
    def box_objects(self) -> torch.Tensor:
        """Masks of the objects' boxes, ``(G, H, W)`` bool."""
        return torch.from_numpy(np.stack([object_mask(replace(t, segments=()), *self.size) for t in self.targets]))

    def annotated(self, located: torch.Tensor, geometry: Geometry) -> Annotated:
        """The targets beside maps ``(G, H, W)`` on the images' pixels, on the device of the maps."""
        device, view = located.device, geometry.view(*self.size)
        seen = [[found for box in of_image if (found := _seen(box, view))] for of_image in self.boxes]
        return Annotated(located, self.objects.to(device), self.box_objects.to(device), self.boxes, seen)


def _seen(box: Box, view: tuple[float, float, float, float]) -> Box | None:
    """A box as shares of what the network saw of an image; None where it saw nothing of the box."""
    left, top, right, bottom = view
    across = [min(1.0, max(0.0, (x - left) / (right - left))) for x in (box.left, box.right)]
    down = [min(1.0, max(0.0, (y - top) / (bottom - top))) for y in (box.top, box.bottom)]
    return Box(across[0], down[0], across[1], down[1]) if across[0] < across[1] and down[0] < down[1] else None


class Scenes:
    """The targets of a batch's trials (None where nothing is annotated for the class explained)."""

    def __init__(self, targets: list[Target | None], sizes: list[tuple[int, int]], geometry: Geometry) -> None:
        self.geometry = geometry
        self._targets, self._sizes = targets, sizes
        rows: dict[tuple[int, int], list[int]] = defaultdict(list)
        for row, (target, size) in enumerate(zip(targets, sizes, strict=True)):
            if target is not None:
                rows[size].append(row)
        self._groups = [
            (found, Group(size, [t for r in found if (t := targets[r]) is not None])) for size, found in rows.items()
        ]

    def only(self, row: int) -> "Scenes":
        """What is annotated for one trial."""
        return Scenes([self._targets[row]], [self._sizes[row]], self.geometry)

    def objects(self, height: int, width: int) -> torch.Tensor:
        """The objects in the frame of the network's input, ``(N, height, width)``: the share of each pixel they cover.

        NaN where nothing is annotated for the class explained; 0 where the input is padding.
        """
        seen = torch.full((len(self._targets), height, width), torch.nan)
        for rows, group in self._groups:
            left, top, right, bottom = self.geometry.view(*group.size)
            across = _overlap(left, right, width, group.size[0])
            down = _overlap(top, bottom, height, group.size[1])
            seen[rows] = down @ group.objects.float() @ across.T
        return seen

    def by_size(self) -> Iterator[tuple[list[int], Group]]:
        """Rows of the batch, and what is annotated in them, for each image size."""
        yield from self._groups


def _overlap(start: float, end: float, count: int, pixels: int) -> torch.Tensor:
    """How much of each of ``count`` equal parts of start to end lies in each pixel of a line, ``(count, pixels)``."""
    edges = torch.linspace(start, end, count + 1, dtype=torch.float64)
    places = torch.arange(pixels, dtype=torch.float64)
    common = torch.minimum(edges[1:, None], places + 1) - torch.maximum(edges[:-1, None], places)
    return (common.clamp(min=0) / (edges[1:] - edges[:-1])[:, None]).float()
