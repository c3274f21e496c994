"""Localised evidence: maps on the images' own pixels, beside the objects that are annotated there."""

from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from reciprocam_bench.datasets.dataset import Box
from reciprocam_bench.explainers.forward_pass import ForwardPass


@dataclass(frozen=True)
class Annotated:
    """What metrics of localisation may name: G trials with annotated objects, on images of one size.

    Attributes:
        located: the normalised maps on the images' own pixels, ``(G, H, W)``; 0 where the network did not look.
        objects: masks of the objects, ``(G, H, W)`` bool.
        box_objects: masks of the objects' boxes, ``(G, H, W)`` bool.
        boxes: each trial's boxes, in the images' pixels.
        seen_boxes: the same as shares of the width and height that the network saw, 0 to 1; none that it missed.
    """

    located: Tensor
    objects: Tensor
    box_objects: Tensor
    boxes: list[list[Box]]
    seen_boxes: list[list[Box]]


LOCALISED = frozenset(field.name for field in fields(Annotated))


def chosen(evidence: Any, rows: Tensor) -> Any:
    """Other evidence of the trials ``rows (G,)`` alone, for a metric that mixes it with localised evidence."""
    if isinstance(evidence, Tensor):
        return evidence[rows]
    if isinstance(evidence, list):
        return [evidence[row] for row in rows.tolist()]
    if isinstance(evidence, ForwardPass):
        return evidence.select(rows, evidence.classes[rows])
    return lambda changed, of, **options: evidence(changed, rows[of], **options)  # mask, ask, explain
