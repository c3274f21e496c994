"""The 20 ImageNet images that the package ``foolbox`` ships, with boxes drawn for this project."""

import json
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from reciprocam_bench.datasets.dataset import Box, Dataset, Sample, Target
from reciprocam_bench.datasets.registry import dataset
from reciprocam_bench.errors import UserError


@dataset("samples")
def samples() -> Dataset:
    """The 20 ImageNet images of the package foolbox (``pip install foolbox``), with boxes.

    Boxes are of the labelled class, in pixels of the files; one image shows no such object.
    """
    spec = find_spec("foolbox")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("the package foolbox, which ships the sample images, is not installed; pip install foolbox")
    folder = Path(spec.submodule_search_locations[0]) / "data"
    boxes = json.loads((files("reciprocam_bench.datasets") / "samples_boxes.json").read_text(encoding="utf-8"))
    return Dataset("samples", [_sample(path, boxes[path.name]) for path in sorted(folder.glob("imagenet_*.jpg"))])


def _sample(path: Path, annotation: dict[str, Any]) -> Sample:
    label, boxes = annotation["label"], tuple(Box(*corners) for corners in annotation["boxes"])
    target = Target(annotation["name"], label, boxes, tuple(annotation["size"]))
    return Sample(path.name, path, label, (target,) if boxes else ())
