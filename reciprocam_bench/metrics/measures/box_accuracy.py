"""Box accuracy: the box around the map's largest bright region against the annotated boxes."""

import numpy as np
import torch
from torch import Tensor

from reciprocam_bench.datasets.dataset import Box
from reciprocam_bench.metrics.registry import metric

_LEVELS = np.arange(5, 100, 5) / 100
_OVERLAP = 0.5


@metric(
    "box_accuracy",
    title="Box accuracy",
    higher_is_better=True,
    aggregation="best-threshold",
    thresholds=tuple(f"{v:.2f}" for v in _LEVELS),
)
def box_accuracy(located: Tensor, boxes: list[list[Box]]) -> Tensor:
    """1 where the box of the largest region above a threshold overlaps an annotated box by IoU >= 0.5, ``(G, T)``.

    Thresholds 0.05, 0.10, …, 0.95 of the map's range, on the image's own pixels; the data set value is the best mean
    over them. Regions are 8-connected, the largest is that of most pixels. `max_box_acc` (Choe et al. 2020) decides
    each of these otherwise.

    Pitfall: the threshold is chosen on the images that are judged, anew for each method.
    """
    maps = located.cpu().numpy()
    hits = [
        [_best_overlap(m >= level, of_map) >= _OVERLAP for level in _LEVELS]
        for m, of_map in zip(maps, boxes, strict=True)
    ]
    return torch.tensor(hits, dtype=torch.float32, device=located.device).view(len(boxes), len(_LEVELS))


def _best_overlap(bright: np.ndarray, boxes: list[Box]) -> float:
    from scipy import ndimage  # here, as every run loads this module and few ask for it

    regions, count = ndimage.label(bright, structure=np.ones((3, 3), dtype=int))
    if not count or not boxes:
        return 0.0
    largest = 1 + int(np.argmax(np.bincount(regions.ravel())[1:]))
    rows, columns = ndimage.find_objects(regions, max_label=largest)[largest - 1]
    return max(iou(Box(columns.start, rows.start, columns.stop, rows.stop), box) for box in boxes)


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(a.right, b.right) - max(a.left, b.left)
    height = min(a.bottom, b.bottom) - max(a.top, b.top)
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    areas = sum((box.right - box.left) * (box.bottom - box.top) for box in (a, b))
    return both / (areas - both)
