"""Write a model that returns logits and maps: an ONNX file or a torch.export archive, checked before it is kept."""

import contextlib
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from reciprocam_bench.backbones.backbone import Backbone, Preprocessing
from reciprocam_bench.backbones.file_metadata import CLASSES, FEATURES, IMAGES, KEY, LOGITS, MAPS, FileMetadata
from reciprocam_bench.backbones.onnx_session import open_session, require
from reciprocam_bench.datasets.class_names import class_names
from reciprocam_bench.errors import UserError, in_words
from reciprocam_bench.exporting.explained_model import ExplainedModel
from reciprocam_bench.exporting.quantise import quantised
from reciprocam_bench.variables import expanded
from reciprocam_bench.version import __version__

# Of the largest logit, and of the largest value of a raw map.
TOLERANCE = 1e-4
# Batches that a file is checked with; another number than it was traced with.
_BATCHES = (1, 3)
_CHUNK = 8  # images that an int8 file is calibrated on at a time
# Bytes of weights: from there on torch.onnx writes them to a second file, unasked.
_MOST_BYTES = 3 << 29

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
        shapes: of inputs and outputs for the last batch it was compared with, by name.
        agreement: share of these images whose class with the largest logit is PyTorch's.
    """

    path: Path
    metadata: FileMetadata
    relative: dict[str, float]
    shapes: dict[str, tuple[int, ...]]
    agreement: float


class _Comparison(NamedTuple):
    difference: dict[str, float]
    relative: dict[str, float]
    shapes: dict[str, tuple[int, ...]]
    agreement: float


def export(
    backbone: Backbone,
    output: Path | str,
    method: str = "reciprocam",
    *,
    size: int | None = None,
    calibration: Tensor | None = None,
    **form: Any,
) -> Exported:
    """Write ``backbone`` and its maps to ``output``: ``.onnx``, or ``.pt2`` for ``torch.export.load``.

    The number of images is free, their size is fixed. The file is run, by ONNX Runtime or from the archive, on random
    images in batches of 1 and 3 and compared with PyTorch; it is kept if the largest difference is at most 1e-4 of
    the largest logit, and of the largest value of each map before it is normalised.

    With ``calibration`` the float32 file is checked so, and then quantised: the network up to the features is int8,
    head and maps stay float32. How far that is from PyTorch on these images is measured and told, not judged.

    Args:
        backbone: from `load_backbone` or `split_backbone`, on the CPU.
        output: the file; one that exists is replaced.
        method: ``reciprocam``, ``vitreciprocam`` or ``cam``, also with options.
        size: side of the images, in pixels; the one that the backbone was split for if left out.
        calibration: real images ``(N, C, H, W)`` of that size, preprocessed, for an int8 ``.onnx`` file.
        form: what the maps are, see `ExplainedModel`.

    Raises:
        UserError: for another suffix, a network that is not on the CPU or cannot be exported, and a file that differs
            from PyTorch.
    """
    path = _target(output, calibration is not None)
    if backbone.device.type != "cpu":
        raise UserError(f"{path}: the network is on {backbone.device}; export one that was loaded with device='cpu'")
    model = ExplainedModel(backbone, method, **form).eval()
    asked, wanted = model.form, preprocessing_at(backbone, size)
    side = wanted.crop
    if calibration is not None:
        _check_calibration(calibration, backbone, side)
        model.form = replace(asked, features=True)  # int8 ends there
    metadata = _metadata(model, backbone, wanted)
    draft = path.with_name(f".{path.stem}.draft{path.suffix}")
    try:
        with _quiet():
            program = _program(model, _inputs(model, backbone, side, 2), backbone.name)
            save = _saver(path.suffix, program, model, metadata.model)
            save(draft, metadata)
            batches = [_inputs(model, backbone, side, n) for n in _BATCHES]
            found = _compare(model, _runner(draft, model), batches, TOLERANCE)
            if calibration is not None:
                model.form, batches = asked, _predicted(model, calibration)
                save, metadata = _int8_saver(draft, model, batches), metadata.model_copy(update={"precision": "int8"})
                save(draft, metadata)
                found = _compare(model, _runner(draft, model), batches, math.inf)
            metadata = metadata.model_copy(update={"difference": found.difference})
            save(draft, metadata)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return Exported(path, metadata, found.relative, found.shapes, found.agreement)


def _target(output: Path | str, int8: bool) -> Path:
    """Where to write; ``UserError`` where that cannot be."""
    path = expanded(output)
    if path.suffix not in (".onnx", ".pt2"):
        raise UserError(f"{path}: an exported model ends in .onnx, or .pt2 for torch.export")
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}; make it first")
    if path.suffix == ".onnx":
        require("onnx", "onnxruntime", "onnxscript")
    elif int8:
        raise UserError(f"{path}: int8 files are made by ONNX Runtime; end the name in .onnx")
    return path


def _check_calibration(images: Tensor, backbone: Backbone, side: int) -> None:
    wanted = (len(backbone.preprocessing.mean), side, side)
    if images.ndim != 4 or not len(images) or tuple(images.shape[1:]) != wanted:
        raise UserError(f"calibration: images must be {('N', *wanted)}; they are {tuple(images.shape)}")


def _predicted(model: ExplainedModel, images: Tensor) -> list[tuple[Tensor, ...]]:
    """The model's inputs in small batches; where it is given classes, those it predicts."""
    parts = images.split(_CHUNK)
    if model.form.classes != "input":
        return [(part,) for part in parts]
    with torch.no_grad():
        return [(part, model(part, torch.zeros(len(part), dtype=torch.long))[0].argmax(1)) for part in parts]


def preprocessing_at(backbone: Backbone, size: int | None) -> Preprocessing:
    """How a backbone wants images of this side (the one it was split for if left out), which is their ``crop``."""
    p = backbone.preprocessing
    side = size or (p.crop if backbone.cuts is None else int(backbone.cuts.example.shape[-1]))
    return p if p.crop == side else replace(p, crop=side, resize=round(p.resize * side / p.crop))


def _metadata(model: ExplainedModel, backbone: Backbone, wanted: Preprocessing) -> FileMetadata:
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
    weights = [value.const_value for value in made.model.graph.initializers.values()]
    if sum(weight.nbytes for weight in weights if weight is not None) > _MOST_BYTES:
        raise UserError(f"{name} is larger than one ONNX file holds ({_MOST_BYTES / 2**30:g} GiB); take .pt2")

    def save(path: Path, metadata: FileMetadata) -> None:
        made.model.metadata_props[KEY] = metadata.model_dump_json()
        made.save(path, external_data=False)

    return save


def _int8_saver(source: Path, model: ExplainedModel, batches: list[tuple[Tensor, ...]]) -> Save:
    """How an int8 model is written that is made of a float32 file and calibrated on these inputs."""
    inputs, outputs = _names(model)
    made = quantised(source, [dict(zip(inputs, batch, strict=True)) for batch in batches], outputs)

    def save(path: Path, metadata: FileMetadata) -> None:
        import onnx

        onnx.helper.set_model_props(made, {KEY: metadata.model_dump_json()})
        onnx.save(made, path)

    return save


def _runner(path: Path, model: ExplainedModel) -> Run:
    """Runs a file as its users will."""
    if path.suffix == ".pt2":
        loaded = torch.export.load(path).module()
        return lambda given: list(loaded(*given))
    (inputs, outputs), session = _names(model), open_session(path, str(path))

    return lambda given: session.run_for(dict(zip(inputs, given, strict=True)), outputs)


def _compare(model: ExplainedModel, run: Run, batches: list[tuple[Tensor, ...]], tolerance: float) -> _Comparison:
    """Run the file beside the module; ``UserError`` where an output differs by too much."""
    inputs, outputs = _names(model)
    found, same = _Comparison(dict.fromkeys(outputs, 0.0), dict.fromkeys(outputs, 0.0), {}, 1.0), []
    for batch in batches:
        with torch.no_grad():
            wanted = model(*batch)
        given = run(batch)
        same += (given[0].argmax(1) == wanted[0].argmax(1)).tolist()
        for name, ours, theirs in zip(outputs, wanted, given, strict=True):
            if ours.shape != theirs.shape:
                raise UserError(f"the exported {name} are {tuple(theirs.shape)}, not {tuple(ours.shape)}")
            error = (theirs - ours).abs()
            share = float((error / (_scale_of_maps(model, batch) if name == MAPS else ours.abs().max())).max())
            if not share <= tolerance:
                raise UserError(
                    f"the exported model is not kept: its {name} differ from PyTorch by {float(error.max()):.2g}, "
                    f"{share:.2g} of their largest value, and {tolerance:g} is allowed"
                )
            found.difference[name] = max(found.difference[name], float(error.max()))
            found.relative[name] = max(found.relative[name], share)
        tensors = [*zip(inputs, batch, strict=True), *zip(outputs, given, strict=True)]
        found.shapes.update({name: tuple(tensor.shape) for name, tensor in tensors})
    return found._replace(agreement=sum(same) / len(same))


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
    # The quantiser writes to the root logger.
    names = (None, "torch.onnx", "torch.export", "onnxscript", "onnx_ir")
    loggers = [logging.getLogger(name) for name in names]
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
