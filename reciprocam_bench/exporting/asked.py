"""``rcam-bench export``: from options to a file."""

from pathlib import Path

from reciprocam_bench.engine.environment import set_up_torch
from reciprocam_bench.engine.experiment import set_up_backbone
from reciprocam_bench.engine.subject import Asked
from reciprocam_bench.exporting.explained_model import Resolution
from reciprocam_bench.exporting.export_model import Exported, export
from reciprocam_bench.protocols.protocol import load_protocol
from reciprocam_bench.runfolder.doubt import untrained


def export_asked(
    asked: Asked,
    output: Path,
    *,
    classes: str,
    normalise: bool,
    resolution: Resolution,
    features: bool,
    size: int | None,
) -> tuple[Exported, list[str]]:
    """Load the network the options name and export it; the file, and notes for the reader."""
    config, notes = asked.settings()
    (method,) = asked.methods
    backbone = set_up_backbone(config, load_protocol(config.protocol[0]), set_up_torch(config))
    if untrained(config.backbone):
        notes = [*notes, "the weights are random (weights: none): the maps mean nothing"]
    form = {"classes": _classes(classes), "normalise": normalise, "resolution": resolution, "features": features}
    return export(backbone, output, method, size=size, **form), notes


def lines_of(exported: Exported) -> list[str]:
    """What is said of a file."""
    about, shapes = exported.metadata, exported.shapes
    return [
        f"{exported.path}: {about.model} with {about.method} at layer {about.layer} ({about.path}), "
        f"{exported.path.stat().st_size / 2**20:.1f} MiB",
        *(f"  {'out' if name in about.difference else 'in '} {name} {_shape(shape)}" for name, shape in shapes.items()),
        "largest difference from PyTorch: " + ", ".join(f"{n} {d:.1e}" for n, d in about.difference.items()),
    ]


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, ('N', *shape[1:])))})"


def _classes(text: str) -> str | tuple[int, ...]:
    parts = text.split(",")
    return tuple(map(int, parts)) if all(part.strip().isdecimal() for part in parts) else text
