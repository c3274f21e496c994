"""Picture sheets of a run's first images: image, each method, class and probability."""

from reciprocam_bench.datasets.dataset import class_name
from reciprocam_bench.datasets.images import read_picture
from reciprocam_bench.engine.run import Run
from reciprocam_bench.engine.trials import Trial
from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.metrics.evidence import Evidence
from reciprocam_bench.pictures import sheet
from reciprocam_bench.protocols.protocol import Protocol
from reciprocam_bench.titles import file_name


def save_sheets(
    run: Run, protocol: Protocol, trials: list[Trial], fp: ForwardPass, evidence: dict[str, Evidence]
) -> None:
    """Save one PNG a trial, ``NNN_image_category.png``, for the first images; several protocols in subfolders.

    Methods that joined the run later get sheets of their own, which bear their names.
    """
    experiment, folder = run.experiment, run.folder.path / "maps"
    joined = "" if len(evidence) == len(experiment.methods) else f"_{file_name('+'.join(evidence))[:80]}"
    if len(experiment.protocols) > 1:
        folder = folder / protocol.name
    folder.mkdir(parents=True, exist_ok=True)
    prepare = experiment.preparation(protocol)
    number = {s.id: n for n, s in enumerate(experiment.dataset.samples[: experiment.config.maps])}
    for i, trial in enumerate(trials):
        sample = trial.sample
        if sample.id not in number:
            continue
        picture = prepare.picture(read_picture(str(sample.path)))
        heats = {title: e.saliency[i].cpu().numpy() for title, e in evidence.items()}
        notes = {title: "" if e.status[i] == "ok" else e.status[i] for title, e in evidence.items()}
        several = experiment.dataset.categories is not None and trial.target is not None
        category = f"_{trial.target.category}" if several and trial.target else ""
        heading = describe_classes(fp, i, sample.label) + (f", for: {category[1:]}" if category else "")
        name = f"{number[sample.id]:03d}_{sample.path.stem}{category}{joined}.png"
        sheet(picture, heading, heats, notes).savefig(folder / name)


def describe_classes(fp: ForwardPass, i: int, label: int | None) -> str:
    """``explained: tench (p = 0.98)``, with the label and the prediction where they differ from it."""
    classes, total = int(fp.classes[i]), fp.backbone.num_classes
    text = f"explained: {class_name(classes, total)} (p = {float(fp.probabilities[i]):.3f})"
    predicted = int(fp.logits[i].argmax())
    if predicted != classes:
        text += f", predicted: {class_name(predicted, total)}"
    if label is not None and label != classes:
        text += f", labelled: {class_name(label, total)}"
    return text
