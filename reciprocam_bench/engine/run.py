"""The run loop: batches of images through every method and metric, row by row into the run folder."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from reciprocam_bench.config import dump_config
from reciprocam_bench.datasets.images import PreparedImages
from reciprocam_bench.datasets.sample import Sample
from reciprocam_bench.engine.environment import describe, fingerprint
from reciprocam_bench.engine.evidence import Evidence
from reciprocam_bench.engine.experiment import Experiment
from reciprocam_bench.engine.progress import Progress
from reciprocam_bench.engine.sheets import save_sheets
from reciprocam_bench.engine.store import Row, Rows, RunFolder, skipped_rows
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import ForwardPass, forward_pass
from reciprocam_bench.explainers.registry import Method
from reciprocam_bench.protocols.protocol import Protocol

_FIXED_COLUMNS = ("protocol", "image", "label", "predicted", "class", "probability", "method", "status")


@dataclass(frozen=True)
class Batch:
    """Images judged together; the division into batches is the same however often a run is stopped."""

    protocol: Protocol
    first: int  # index of the first sample in the data set
    samples: list[Sample]


class Phases:
    """Seconds spent in each phase of a run, added to those of earlier starts."""

    def __init__(self, before: dict[str, float]) -> None:
        self.seconds = defaultdict(float, before)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the time spent inside to a phase."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - begun


def judge(experiment: Experiment, folder: RunFolder, phases: Phases, quiet: bool = False) -> None:
    """Judge every image that the run folder does not hold yet, and add the rows to it."""
    batches = make_batches(experiment)
    rows = Rows(folder.path / "per_image.csv", (*_FIXED_COLUMNS, *experiment.metrics))
    skipped = skipped_rows(folder.path)
    finished = _resume(experiment, batches, rows, skipped)
    images = sum(len(b.samples) for b in batches)
    done = sum(len(b.samples) for b in batches[:finished])
    with Progress(images, "images", "judging", done=done, quiet=quiet) as progress:
        todo = batches[finished:]
        for batch, tensors in zip(todo, _read(experiment, todo, phases), strict=True):
            bad = [s for s, t in zip(batch.samples, tensors, strict=True) if isinstance(t, str)]
            reasons = [t for t in tensors if isinstance(t, str)]
            good = [t for t in tensors if isinstance(t, Tensor)]
            skipped.append(
                [
                    {"protocol": batch.protocol.name, "image": s.id, "reason": r}
                    for s, r in zip(bad, reasons, strict=True)
                ]
            )
            kept = replace(batch, samples=[s for s in batch.samples if s not in bad])
            if good:
                rows.append(_judge_batch(experiment, kept, torch.stack(good), folder.path, progress, phases))
            progress.advance(len(bad))
    if len(rows.read()) == 0:
        raise UserError(f"none of the {images} images could be read; {skipped.path} lists why")


def make_batches(experiment: Experiment) -> list[Batch]:
    """Every protocol's images, cut into batches."""
    size, samples = experiment.config.batch_size, experiment.dataset.samples
    return [
        Batch(protocol, start, samples[start : start + size])
        for protocol in experiment.protocols
        for start in range(0, len(samples), size)
    ]


def begin(experiment: Experiment, folder: RunFolder, fresh: bool) -> Phases:
    """Open the run folder for this experiment, and pick up the clock of earlier starts."""
    folder.open(dump_config(experiment.config), fingerprint(experiment.backbone), fresh)
    return Phases(folder.environment().get("seconds", {}))


def record(experiment: Experiment, folder: RunFolder, phases: Phases, *, finished: bool) -> None:
    """Write ``environment.json``."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    content = {
        **describe(experiment.config, experiment.backbone),
        "date": now,
        "images": len(experiment.dataset.samples),
        "seconds": {name: round(s, 3) for name, s in phases.seconds.items()},
        "fingerprint": fingerprint(experiment.backbone),
    }
    folder.write_environment(content | ({"finished": now} if finished else {}))


def _resume(experiment: Experiment, batches: list[Batch], rows: Rows, skipped: Rows) -> int:
    """Keep the rows of whole batches, cut off the rest, and return how many batches need no more work."""
    old_rows, old_skipped = rows.read(), skipped.read()
    count = Counter((row["protocol"], row["image"]) for row in old_rows)
    gone = {(row["protocol"], row["image"]) for row in old_skipped}
    finished = 0
    for batch in batches:
        keys = [(batch.protocol.name, s.id) for s in batch.samples]
        if not all(key in gone or count[key] == len(experiment.methods) for key in keys):
            break
        finished += 1
    kept = {(b.protocol.name, s.id) for b in batches[:finished] for s in b.samples}
    rows.keep([row for row in old_rows if (row["protocol"], row["image"]) in kept])
    from_loading = [{"protocol": "", "image": image, "reason": reason} for image, reason in experiment.dataset.skipped]
    skipped.keep(from_loading + [row for row in old_skipped if (row["protocol"], row["image"]) in kept])
    return finished


def _read(experiment: Experiment, batches: list[Batch], phases: Phases) -> Iterator[list[Tensor | str]]:
    """The images of each batch as tensors ``(3, H, W)``, or the reason why one is none."""
    for protocol in experiment.protocols:
        mine = [b for b in batches if b.protocol == protocol]
        paths = [str(s.path) for b in mine for s in b.samples]
        indices = iter(range(len(paths)))
        loader: DataLoader = DataLoader(
            PreparedImages(paths, experiment.preparation(protocol)),
            batch_sampler=[[next(indices) for _ in b.samples] for b in mine],
            num_workers=experiment.config.workers,
            collate_fn=list,
        )
        batches_of_images = iter(loader)
        for _ in mine:
            with phases("read images"):
                tensors = next(batches_of_images)
            yield tensors


def _judge_batch(
    experiment: Experiment, batch: Batch, images: Tensor, folder: Path, progress: Progress, phases: Phases
) -> list[Row]:
    with phases("forward"):
        fp = forward_pass(experiment.backbone, images, _wanted_classes(experiment, batch))
        fixed = _fixed_columns(batch, fp)
    again = 1 if any("masked_explanation" in spec.needs for spec in experiment.metrics.values()) else 0
    costs = [method.forwards(experiment.backbone) for method in experiment.methods]
    unit = len(fp) / (sum(costs) * (1 + again) + len(costs))
    rows, shown = [], {}
    for method, cost in zip(experiment.methods, costs, strict=True):
        task = progress.task([unit * cost] * (1 + again) + [unit])
        evidence, values = _judge_method(experiment, batch, method, replace(fp, progress=task), phases)
        task.finish()
        rows.append([{**f, "method": method.title, **v} for f, v in zip(fixed, values, strict=True)])
        if evidence is not None and batch.first < experiment.config.maps:
            shown[method.title] = evidence
    if shown:
        with phases("pictures"):
            save_sheets(experiment, folder / "maps", batch.protocol, batch.first, batch.samples, fp, shown)
    return [row for of_image in zip(*rows, strict=True) for row in of_image]


def _judge_method(
    experiment: Experiment, batch: Batch, method: Method, fp: ForwardPass, phases: Phases
) -> tuple[Evidence | None, list[Row]]:
    """Evidence and one row of values an image; a method that fails gets rows that say how, and the run goes on."""
    try:
        with phases("explain"):
            maps = method(fp)
        with phases("metrics"), torch.no_grad():
            evidence = Evidence(fp, maps, batch.protocol, method)
            if maps.ndim != 3 or len(maps) != len(fp):
                raise ValueError(f"maps are {tuple(maps.shape)}, not (N, h, w) with N = {len(fp)}")
            measured = {name: evidence.measure(spec).tolist() for name, spec in experiment.metrics.items()}
    except UserError:
        raise
    except Exception as error:  # a plug-in or a full GPU: any error, and it must reach the table
        reason = " ".join(str(error).split())[:200]
        return None, [{"status": f"error: {type(error).__name__}: {reason}"}] * len(fp)
    values = [dict(zip(measured, of_image, strict=True)) for of_image in zip(*measured.values(), strict=True)]
    return evidence, [{"status": s, **v} for s, v in zip(evidence.status, values, strict=True)]


def _wanted_classes(experiment: Experiment, batch: Batch) -> Tensor | None:
    wanted = experiment.classes(batch.protocol)
    if wanted == "predicted":
        return None
    return torch.tensor([s.label if wanted == "label" else int(wanted) for s in batch.samples])


def _fixed_columns(batch: Batch, fp: ForwardPass) -> list[Row]:
    columns = zip(
        batch.samples, fp.logits.argmax(1).tolist(), fp.classes.tolist(), fp.probabilities.tolist(), strict=True
    )
    return [
        {
            "protocol": batch.protocol.name,
            "image": sample.id,
            "label": "" if sample.label is None else sample.label,
            "predicted": predicted,
            "class": explained,
            "probability": probability,
        }
        for sample, predicted, explained, probability in columns
    ]
