"""Explain one picture: what ``rcam-bench explain`` does."""

from pathlib import Path

import torch

from reciprocam_bench.backbones.load import load_backbone
from reciprocam_bench.config import NamedConfig
from reciprocam_bench.datasets.images import preparation, read_picture, stretched_note
from reciprocam_bench.engine.allocator import keep_freed_memory
from reciprocam_bench.engine.environment import choose_device
from reciprocam_bench.engine.sheets import describe_classes
from reciprocam_bench.errors import UserError, in_words
from reciprocam_bench.explainers.forward_pass import ForwardPass, forward_pass
from reciprocam_bench.explainers.registry import Method, make_method
from reciprocam_bench.metrics.evidence import Evidence
from reciprocam_bench.pictures import overlay, sheet
from reciprocam_bench.protocols.protocol import load_protocol
from reciprocam_bench.titles import file_name, parse_title


def explain_image(
    path: Path,
    model: str,
    methods: list[str],
    *,
    weights: str,
    layer: str,
    class_index: int | None,
    output: Path,
    device: str,
) -> tuple[str, list[Path]]:
    """Write an overlay per method and a sheet of all; returns a line on class and probability, and the files."""
    keep_freed_memory()
    chosen = [NamedConfig.model_validate(parse_title(text)) for text in methods]
    for method in chosen:
        make_method(method.name, method.options, method.title)
    if not path.exists():
        raise UserError(f"{path} does not exist; give an image file")
    try:
        original = read_picture(str(path))
    except ValueError as error:
        raise UserError(f"{path}: {error}; give an image file") from None
    backbone = load_backbone(model, weights, layer, choose_device(device))
    # The picture is prepared as the model wants it.
    prepare = preparation(load_protocol("poppi-2021").preprocess, backbone.preprocessing, use_model_geometry=True)
    picture = prepare.picture(original)
    if class_index is not None and class_index >= backbone.num_classes:
        raise UserError(f"--class {class_index}: {model} has classes 0 to {backbone.num_classes - 1}")
    wanted = None if class_index is None else torch.tensor([class_index])
    fp = forward_pass(backbone, prepare.tensor(picture)[None], wanted)
    evidence, failed = _evidence(fp, [make_method(m.name, m.options, m.title, backbone) for m in chosen])
    if not evidence:
        raise UserError(_failure(failed))
    heats = {name: e.saliency[0].cpu().numpy() for name, e in evidence.items()}
    notes = {name: "" if e.status[0] == "ok" else e.status[0] for name, e in evidence.items()}
    heading = describe_classes(fp, 0, None)
    note = f"\nnote: {stretched_note(original.stretched, 1)}" if original.stretched else ""
    try:
        output.mkdir(parents=True, exist_ok=True)
        written = []
        for name, heat in heats.items():
            written.append(output / f"{path.stem}_{file_name(name)}.png")
            overlay(picture, heat).save(written[-1])
        written.append(output / f"{path.stem}_sheet.png")
        sheet(picture, heading, heats, notes).savefig(written[-1])
    except OSError as error:
        raise UserError(f"{output} cannot be written: {error.strerror}; give --output another folder") from None
    if failed:
        raise UserError(f"{_failure(failed)}; the pictures of the others are in {output}")
    return heading + note, written


def _evidence(fp: ForwardPass, methods: list[Method]) -> tuple[dict[str, Evidence], dict[str, str]]:
    """What each method shows, and why those failed that did."""
    # The protocol only lends its way of resizing maps.
    protocol = load_protocol("poppi-2021")
    shown, failed = {}, {}
    for method in methods:
        try:
            evidence = Evidence(fp, method(fp), protocol)
            if evidence.saliency.numel():  # a map that cannot be resized fails here
                shown[method.title] = evidence
        except UserError:
            raise
        except Exception as error:  # a plug-in or a peer may fail in any way; the others' pictures are still wanted
            failed[method.title] = in_words(error)
    return shown, failed


def _failure(failed: dict[str, str]) -> str:
    return "; ".join(f"method '{name}' failed: {reason}" for name, reason in failed.items())
