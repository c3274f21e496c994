"""MaxBoxAcc and MaxBoxAccV2, as the evaluation of weakly supervised localisation defines them."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from reciprocam_bench.datasets.dataset import Box
from reciprocam_bench.metrics.registry import metric

_SIDE = 224
# The reference tries 1,000 thresholds t on a map of whole numbers up to 255, which it cuts at int(255 t): these.
_LEVELS = range(255)
_OVERLAPS = (0.3, 0.5, 0.7)
_CV2 = {"cv2": "pip install opencv-python-headless"}


@metric(
    "max_box_acc",
    title="MaxBoxAcc",
    higher_is_better=True,
    aggregation="best-threshold",
    thresholds=tuple(f"{level:03d}" for level in _LEVELS),
    requires=_CV2,
)
def max_box_acc(raw: Tensor, seen_boxes: list[list[Box]]) -> Tensor:
    """1 where the box of the contour of largest area overlaps an annotated box by IoU >= 0.5, ``(G, 255)``.

    Choe et al. 2020 (arXiv 2007.04178, wsolevaluation): the map resized to 224x224 by OpenCV's cubic and then
    normalised to whole numbers up to 255, cut above each; IoU with a pixel more on each side, boxes in whole pixels of
    the 224x224 that the network saw. The data set value is the best mean over the cuts.

    Pitfall: the threshold is chosen on the images that are judged, anew for each method.
    """
    overlaps = _overlaps(raw, seen_boxes, every=False)
    return (overlaps >= _OVERLAPS[1]).float()


@metric(
    "max_box_acc_v2",
    title="MaxBoxAccV2",
    higher_is_better=True,
    aggregation="mean-of-three-best-thresholds",
    thresholds=tuple(f"{overlap:.1f}/{level:03d}" for overlap in _OVERLAPS for level in _LEVELS),
    requires=_CV2,
)
def max_box_acc_v2(raw: Tensor, seen_boxes: list[list[Box]]) -> Tensor:
    """As `max_box_acc`, by the box of any contour, at IoU 0.3, 0.5 and 0.7, ``(G, 765)``.

    The data set value is the mean of the three best means over the cuts.

    Pitfall: any contour counts, so that a map of many regions has many tries.
    """
    overlaps = _overlaps(raw, seen_boxes, every=True)
    return torch.cat([overlaps >= overlap for overlap in _OVERLAPS], dim=1).float()


def _overlaps(raw: Tensor, seen_boxes: list[list[Box]], every: bool) -> Tensor:
    """The best IoU of an annotated box and the box of the largest contour, or of ``every`` one, ``(G, 255)``."""
    found = [
        [_best(predicted, _in_pixels(boxes)) for predicted in _predicted(_scored(cam), every)]
        for cam, boxes in zip(raw.cpu().numpy(), seen_boxes, strict=True)
    ]
    return torch.tensor(found, dtype=torch.float32, device=raw.device).view(len(raw), len(_LEVELS))


def _scored(cam: np.ndarray) -> np.ndarray:
    """A map ``(h, w)`` as whole numbers, 0 to 255, ``(224, 224)``; 0 where it says nothing."""
    import cv2

    large = cv2.resize(cam, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
    low, high = np.min(large), np.max(large)
    if not np.isfinite(large).all() or low == high:
        return np.zeros((_SIDE, _SIDE), np.uint8)
    return (((large - low) / (high - low)) * 255).astype(np.uint8)


def _predicted(scored: np.ndarray, every: bool) -> Iterator[np.ndarray]:
    """The boxes at each level, ``(boxes, 4)``: left, top, right, bottom."""
    import cv2

    for level in _LEVELS:
        bright = cv2.threshold(scored, level, 255, cv2.THRESH_BINARY)[1]
        contours = cv2.findContours(bright, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[-2]
        chosen = contours if every or not contours else [max(contours, key=cv2.contourArea)]
        edges = [(x, y, x + w, y + h) for x, y, w, h in map(cv2.boundingRect, chosen)]
        yield np.minimum(edges or [(0, 0, 0, 0)], _SIDE - 1)


def _in_pixels(boxes: list[Box]) -> np.ndarray:
    edges = [(b.left, b.top, b.right, b.bottom) for b in boxes]
    return (np.array(edges).reshape(-1, 4) * _SIDE + 1e-6).astype(int)  # 55.99999 is 56


def _best(predicted: np.ndarray, annotated: np.ndarray) -> float:
    if not len(annotated):
        return 0.0
    a, b = predicted[:, None], annotated[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]) + 1
    both = sides.clip(min=0).prod(-1)
    areas = [(box[..., 2:] - box[..., :2] + 1).prod(-1) for box in (a, b)]
    return float((both / (areas[0] + areas[1] - both)).max())
