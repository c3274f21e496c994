"""Pictures whose evidence is placed by construction, so that it is known where it lies."""

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask
from pydantic import Field

from reciprocam_bench.cache import made_once
from reciprocam_bench.datasets.dataset import Box, Dataset, Sample, Target
from reciprocam_bench.datasets.registry import dataset
from reciprocam_bench.datasets.shapes import SHAPES, SIDE, VERSION, draw
from reciprocam_bench.errors import UserError

_TRUTH = "truth.json"

Count = Annotated[int, Field(ge=1, le=100_000)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


@dataset("synthetic")
def synthetic(*, images: Count = 400, seed: Seed = 0) -> Dataset:
    """Drawn pictures of one of eight shapes beside a star of no class; box and mask of the shape are the truth.

    They are of 64x64 pixels and written once, into ``$RCAM_CACHE_DIR`` or the user's cache folder. Picture i depends on
    ``seed`` and i alone. `reciprocam_bench.fitting.shape_network:make` is a network that knows the shapes.
    """
    folder = made_once(f"synthetic/v{VERSION}-seed{seed}-{images}", partial(_write, images=images, seed=seed))
    try:
        truth = json.loads((folder / _TRUTH).read_text(encoding="utf-8"))
        samples = [_sample(folder / name, known) for name, known in truth.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{folder / _TRUTH} is damaged; delete {folder}, it is made again") from None
    return Dataset("synthetic", samples, categories=tuple(SHAPES))


def _write(folder: Path, images: int, seed: int) -> None:
    """The pictures, and what is known of each: label, box and run-length mask of the shape."""
    truth: dict[str, dict[str, Any]] = {}
    for index in range(images):
        drawing = draw(index, seed)
        name = f"{index:05d}.png"
        Image.fromarray(drawing.pixels).save(folder / name)
        counts = coco_mask.encode(np.asfortranarray(drawing.evidence, np.uint8))["counts"]
        across, down = (np.flatnonzero(drawing.evidence.any(axis)) for axis in (0, 1))
        box = [int(side) for side in (across[0], down[0], across[-1] + 1, down[-1] + 1)]
        truth[name] = {"label": drawing.label, "box": box, "counts": counts.decode("ascii")}
    (folder / _TRUTH).write_text(json.dumps(truth), encoding="utf-8")


def _sample(path: Path, known: dict[str, Any]) -> Sample:
    label, segment = known["label"], {"size": [SIDE, SIDE], "counts": known["counts"]}
    target = Target(list(SHAPES)[label], label, (Box(*known["box"]),), (SIDE, SIDE), (segment,))
    return Sample(path.name, path, label, (target,))
