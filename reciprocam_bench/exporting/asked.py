"""``rcam-bench export``: from options to a file."""

from pathlib import Path

import torch
from torch import Tensor

from reciprocam_bench.backbones.backbone import Preprocessing
from reciprocam_bench.config import DatasetConfig
from reciprocam_bench.datasets.images import Preparation, PreparedImages, model_geometry
from reciprocam_bench.datasets.registry import load_dataset
from reciprocam_bench.engine.environment import set_up_torch
from reciprocam_bench.engine.experiment import set_up_backbone
from reciprocam_bench.engine.subject import Asked
from reciprocam_bench.errors import UserError
from reciprocam_bench.exporting.explained_model import Resolution
from reciprocam_bench.exporting.export_model import Exported, export, preprocessing_at
from reciprocam_bench.protocols.protocol import load_protocol
from reciprocam_bench.runfolder.doubt import untrained

# As many as an int8 file is calibrated on: more hardly change the ranges.
MOST_PICTURES = 200


def export_asked(
    asked: Asked,
    output: Path,
    *,
    classes: str,
    normalise: bool,
    resolution: Resolution,
    features: bool,
    size: int | None,
    int8: Path | None,
) -> tuple[Exported, list[str]]:
    """Load the network the options name and export it; the file, and notes for the reader.

    ``int8`` is a folder of pictures to calibrate on.
    """
    config, notes = asked.settings()
    (method,) = asked.methods
    backbone = set_up_backbone(config, load_protocol(config.protocol[0]), set_up_torch(config))
    if untrained(config.backbone):
        notes = [*notes, "the weights are random (weights: none): the maps mean nothing"]
    form = {"classes": _classes(classes), "normalise": normalise, "resolution": resolution, "features": features}
    calibration = None
    if int8 is not None:
        calibration, more = _pictures(int8, preprocessing_at(backbone, size), config.seed)
        notes = [*notes, *more]
    return export(backbone, output, method, size=size, calibration=calibration, **form), notes


def _pictures(folder: Path, wanted: Preprocessing, seed: int) -> tuple[Tensor, list[str]]:
    """The first pictures of a folder as a network wants them, ``(N, C, H, W)``, and notes of those left out."""
    found = load_dataset(DatasetConfig.model_validate({"name": "folder", "root": str(folder)}), MOST_PICTURES, seed)
    prepare = Preparation(model_geometry(wanted), wanted.mean, wanted.std)
    images = PreparedImages([str(sample.path) for sample in found.samples], prepare)
    read = [images[i] for i in range(len(images))]
    reasons = [*found.skipped, *((s.id, r) for s, r in zip(found.samples, read, strict=True) if isinstance(r, str))]
    tensors = [image.tensor for image in read if not isinstance(image, str)]
    if not tensors:
        raise UserError(
            f"--int8: {folder} holds no readable image ({': '.join(reasons[0])}); give a folder of pictures"
        )
    return torch.stack(tensors), [f"left out: {name}: {reason}" for name, reason in reasons]


def lines_of(exported: Exported) -> list[str]:
    """What is said of a file."""
    about, shapes = exported.metadata, exported.shapes
    int8 = about.precision == "int8"
    return [
        f"{exported.path}: {about.model} with {about.method} at layer {about.layer} ({about.path}), "
        f"{'int8, ' if int8 else ''}{exported.path.stat().st_size / 2**20:.1f} MiB",
        *(f"  {'out' if name in about.difference else 'in '} {name} {_shape(shape)}" for name, shape in shapes.items()),
        "largest difference from PyTorch: " + ", ".join(f"{n} {d:.1e}" for n, d in about.difference.items()),
        *(
            [f"of the pictures it was calibrated on {exported.agreement:.1%} keep their predicted class"]
            if int8
            else []
        ),
    ]


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, ('N', *shape[1:])))})"


def _classes(text: str) -> str | tuple[int, ...]:
    parts = text.split(",")
    return tuple(map(int, parts)) if all(part.strip().isdecimal() for part in parts) else text
