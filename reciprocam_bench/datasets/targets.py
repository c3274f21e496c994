"""Where a target's objects are: masks and boxes in pixels of the stored image."""

import numpy as np
from pycocotools import mask as coco_mask

from reciprocam_bench.datasets.dataset import Box, Target


def scaled_boxes(target: Target, width: int, height: int) -> list[Box]:
    """The boxes on an image of ``width`` x ``height`` pixels, which may be a resized copy of the annotated one."""
    x, y = width / target.drawn_on[0], height / target.drawn_on[1]
    return [Box(b.left * x, b.top * y, b.right * x, b.bottom * y) for b in target.boxes]


def object_mask(target: Target, width: int, height: int) -> np.ndarray:
    """The union of a target's objects, ``(height, width)`` bool: its segments if it has them, else its boxes.

    A pixel belongs to a box if its centre lies inside; on a resized copy, to a segment if the annotated pixel that its
    centre falls on does.
    """
    if target.segments:
        drawn = coco_mask.decode(coco_mask.merge(list(target.segments))).astype(bool)
        rows, columns = (
            ((np.arange(n) + 0.5) * of / n).astype(int) for n, of in zip((height, width), drawn.shape, strict=True)
        )
        return drawn[rows[:, None], columns]
    mask = np.zeros((height, width), dtype=bool)
    for box in scaled_boxes(target, width, height):
        left, top, right, bottom = (round_half(v) for v in (box.left, box.top, box.right, box.bottom))
        mask[top:bottom, left:right] = True
    return mask


def area_share(target: Target) -> float:
    """The share of the image that the target's objects cover, 0 to 1."""
    width, height = target.drawn_on
    return float(object_mask(target, width, height).mean())


def round_half(edge: float) -> int:
    """The first pixel whose centre lies at or beyond an edge."""
    return max(0, int(np.ceil(edge - 0.5)))
