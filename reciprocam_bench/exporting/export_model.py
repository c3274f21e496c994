"""Write a model that returns logits and maps: an ONNX file or a torch.export archive, checked before it is kept."""

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.backbones.file_metadata import CLASSES, FEATURES, IMAGES, KEY, LOGITS, MAPS, FileMetadata
from reciprocam_bench.backbones.onnx_session import open_session, require
from reciprocam_bench.datasets.class_names import class_names
from reciprocam_bench.errors import UserError, in_words
from reciprocam_bench.exporting.explained_model import ExplainedModel
from reciprocam_bench.version import __version__

# Of the largest logit, and of the largest value of a raw map.
TOLERANCE = 1e-4
# Batches that a file is checked with; another number than it was traced with.
_BATCHES = (1, 3)

Run = Callable[[tuple[Tensor, ...]], list[Tensor]]
Save = Callable[[Path, FileMetadata], None]


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Attributes:
        path: where.
        metadata: what it says of itself.
        relative: the largest difference from PyTorch as a share of the largest logit, of that of each raw map, and of
            that of the features, by output.
        shapes: of inputs and outputs for a batch of 3, by name.
    """

    path: Path
    metadata: FileMetadata
    relative: dict[str, float]
    shapes: dict[str, tuple[int, ...]]


class _Comparison(NamedTuple):
    difference: dict[str, float]
    relative: dict[str, float]
    shapes: dict[str, tuple[int, ...]]


def export(
    backbone: Backbone, output: Path | str, method: str = "reciprocam", *, size: int | None = None, **form: Any
) -> Exported:
    """Write ``backbone`` and its maps to ``output``: ``.onnx``, or ``.pt2`` for ``torch.export.load``.

    The number of images is free, their size is fixed. The file is run, by ONNX Runtime or from the archive, on random
    images in batches of 1 and 3 and compared with PyTorch; it is kept if the largest difference is at most 1e-4 of
    the largest logit, and of the largest value of each map before it is normalised.

    Args:
        backbone: from `load_backbone` or `split_backbone`, on the CPU.
        output: the file; one that exists is replaced.
        method: ``reciprocam`` or ``cam``, also with options.
        size: side of the images, in pixels; the one that the backbone was split for if left out.
        form: what the maps are, see `ExplainedModel`.

    Raises:
        UserError: for another suffix, a network that cannot be exported, and a file that differs from PyTorch.
    """
    path = Path(output).expanduser()
    if path.suffix not in (".onnx", ".pt2"):
        raise UserError(f"{path}: an exported model ends in .onnx, or .pt2 for torch.export")
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}; make it first")
    if path.suffix == ".onnx":
        require("onnx", "onnxruntime", "onnxscript")
    model = ExplainedModel(replace(backbone, device=torch.device("cpu")), method, **form).cpu().eval()
    side = size or _side(backbone)
    metadata = _metadata(model, backbone, side)
    draft = path.with_name(f".{path.stem}.draft{path.suffix}")
    try:
        with _quiet():
            program = _program(model, _inputs(model, backbone, side, 2), backbone.name)
            save = _saver(path.suffix, program, model, metadata.model)
            save(draft, metadata)
            found = _compare(model, _runner(draft, model), [_inputs(model, backbone, side, n) for n in _BATCHES])
            metadata = metadata.model_copy(update={"difference": found.difference})
            save(draft, metadata)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return Exported(path, metadata, found.relative, found.shapes)


def _side(backbone: Backbone) -> int:
    return backbone.preprocessing.crop if backbone.cuts is None else int(backbone.cuts.example.shape[-1])


def _metadata(model: ExplainedModel, backbone: Backbone, side: int) -> FileMetadata:
    p = backbone.preprocessing
    wanted = p if p.crop == side else replace(p, crop=side, resize=round(p.resize * side / p.crop))
    known = backbone.class_names is not None or backbone.num_classes == 1000
    return FileMetadata(
        version=__version__,
        model=backbone.name,
        weights=backbone.weights,
        layer=backbone.layer,
        method=model.method.title,
        path=model.path,
        classes=model.form.classes,
        normalise=model.form.normalise,
        resolution=model.form.resolution,
        multi_label=backbone.multi_label,
        class_names=class_names(backbone.num_classes, backbone.class_names).short if known else None,
        preprocessing=asdict(wanted),
    )


def _inputs(model: ExplainedModel, backbone: Backbone, side: int, batch: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(batch)
    images = torch.randn(batch, len(backbone.preprocessing.mean), side, side, generator=generator)
    if model.form.classes != "input":
        return (images,)
    return images, torch.randint(backbone.num_classes, (batch,), generator=generator)


def _program(model: ExplainedModel, inputs: tuple[Tensor, ...], name: str) -> ExportedProgram:
    batch = Dim("batch")
    try:
        # Not strict: hooks and scripted parts of networks run as they are.
        return torch.export.export(model, inputs, dynamic_shapes=tuple({0: batch} for _ in inputs), strict=False)
    except Exception as error:  # a network can be untraceable in every way there is
        raise UserError(f"{name} cannot be exported: torch.export says {in_words(error)}") from None


def _names(model: ExplainedModel) -> tuple[list[str], list[str]]:
    inputs = [IMAGES, CLASSES] if model.form.classes == "input" else [IMAGES]
    return inputs, [LOGITS, MAPS, FEATURES] if model.form.features else [LOGITS, MAPS]


def _saver(suffix: str, program: ExportedProgram, model: ExplainedModel, name: str) -> Save:
    """How the program is written, with what it says of itself."""
    if suffix == ".pt2":
        return lambda path, metadata: torch.export.save(
            program, path, extra_files={f"{KEY}.json": metadata.model_dump_json()}
        )
    inputs, outputs = _names(model)
    try:
        made: Any = torch.onnx.export(program, dynamo=True, input_names=inputs, output_names=outputs, verbose=False)
    except Exception as error:  # operators that ONNX does not have, and more
        raise UserError(f"{name} cannot be exported to ONNX: {in_words(error)}") from None

    def save(path: Path, metadata: FileMetadata) -> None:
        made.model.metadata_props[KEY] = metadata.model_dump_json()
        made.save(path, external_data=False)

    return save


def _runner(path: Path, model: ExplainedModel) -> Run:
    """Runs a file as its users will."""
    if path.suffix == ".pt2":
        loaded = torch.export.load(path).module()
        return lambda given: list(loaded(*given))
    (inputs, outputs), session = _names(model), open_session(path, str(path))

    return lambda given: session.run_for(dict(zip(inputs, given, strict=True)), outputs)


def _compare(model: ExplainedModel, run: Run, batches: list[tuple[Tensor, ...]]) -> _Comparison:
    """Run the file beside the module; ``UserError`` where an output differs by too much."""
    inputs, outputs = _names(model)
    found = _Comparison(dict.fromkeys(outputs, 0.0), dict.fromkeys(outputs, 0.0), {})
    for batch in batches:
        with torch.no_grad():
            wanted = model(*batch)
        given = run(batch)
        for name, ours, theirs in zip(outputs, wanted, given, strict=True):
            if ours.shape != theirs.shape:
                raise UserError(f"the exported {name} are {tuple(theirs.shape)}, not {tuple(ours.shape)}")
            error = (theirs - ours).abs()
            share = float((error / (_scale_of_maps(model, batch) if name == MAPS else ours.abs().max())).max())
            if not share <= TOLERANCE:
                raise UserError(
                    f"the exported model is not kept: its {name} differ from PyTorch by {float(error.max()):.2g}, "
                    f"{share:.2g} of their largest value, and {TOLERANCE:g} is allowed"
                )
            found.difference[name] = max(found.difference[name], float(error.max()))
            found.relative[name] = max(found.relative[name], share)
        tensors = [*zip(inputs, batch, strict=True), *zip(outputs, given, strict=True)]
        found.shapes.update({name: tuple(tensor.shape) for name, tensor in tensors})
    return found


def _scale_of_maps(model: ExplainedModel, inputs: tuple[Tensor, ...]) -> Tensor:
    """The largest value of each raw map, in units of the model's maps: a map that is nearly flat is scaled up."""
    form = model.form
    try:
        model.form = replace(form, normalise=False)
        with torch.no_grad():
            raw = model(*inputs)[1]
    finally:
        model.form = form
    tiny = torch.finfo(raw.dtype).tiny
    largest = raw.abs().amax((-2, -1), keepdim=True).clamp(min=tiny)
    if not form.normalise:
        return largest
    height = raw.amax((-2, -1), keepdim=True) - raw.amin((-2, -1), keepdim=True)
    return largest / height.clamp(min=tiny)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """A scope without the exporters' warnings and progress."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
