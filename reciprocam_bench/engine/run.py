"""The run loop: batches of images through every method and metric, row by row into the run folder."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from reciprocam_bench.config import dump_config
from reciprocam_bench.datasets.dataset import Sample
from reciprocam_bench.datasets.images import PreparedImage, PreparedImages
from reciprocam_bench.engine.environment import describe, fingerprint
from reciprocam_bench.engine.evidence import Evidence
from reciprocam_bench.engine.experiment import Experiment
from reciprocam_bench.engine.progress import Progress
from reciprocam_bench.engine.scenes import Scenes
from reciprocam_bench.engine.sheets import save_sheets
from reciprocam_bench.engine.store import Row, Rows, RunFolder, skipped_rows
from reciprocam_bench.engine.trials import Trial, explain_trials, left_out
from reciprocam_bench.errors import UserError, in_words
from reciprocam_bench.explainers.forward_pass import ForwardPass, forward_pass
from reciprocam_bench.explainers.registry import Method
from reciprocam_bench.protocols.protocol import Protocol

_FIXED_COLUMNS = (
    "protocol",
    "image",
    "category",
    "difficult",
    "label",
    "predicted",
    "class",
    "probability",
    "method",
    "status",
)


class WrongMaps(ValueError):
    """A method returned something else than a map for each image: its own mistake, whatever the images are."""


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
    columns = [c for spec in experiment.metrics.values() for c in spec.columns]
    rows = Rows(folder.path / "per_image.csv", (*_FIXED_COLUMNS, *columns))
    skipped = skipped_rows(folder.path)
    finished = _resume(experiment, batches, rows, skipped)
    images = sum(len(b.samples) for b in batches)
    done = sum(len(b.samples) for b in batches[:finished])
    with Progress(images, "images", "judging", done=done, quiet=quiet) as progress:
        todo = batches[finished:]
        for batch, found in zip(todo, _read(experiment, todo, phases), strict=True):
            read = list(zip(batch.samples, found, strict=True))
            skipped.append(
                [{"protocol": batch.protocol.name, "image": s.id, "reason": r} for s, r in read if isinstance(r, str)]
            )
            good = [(s, r) for s, r in read if not isinstance(r, str)]
            rows.append(_judge_batch(experiment, batch, good, folder.path, progress, phases))
            progress.advance(len(read) - len(good))
    if len(rows.read()) == 0:
        raise UserError(f"none of the {images} images could be judged; {skipped.path} lists why")


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
        "dataset": experiment.dataset.name,
        "images": len(experiment.dataset.samples),
        "difficult_by": experiment.dataset.hard_by,
        "class_source": {name: choice.source for name, choice in experiment.classes.items()},
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
        name = batch.protocol.name
        expected = {s.id: len(experiment.methods) * len(experiment.classes[name].trials(s)) for s in batch.samples}
        if not all((name, image) in gone or count[name, image] == n for image, n in expected.items()):
            break
        finished += 1
    kept = {(b.protocol.name, s.id) for b in batches[:finished] for s in b.samples}
    rows.keep([row for row in old_rows if (row["protocol"], row["image"]) in kept])
    reasons = list(experiment.dataset.skipped)
    for choice in experiment.classes.values():
        reasons += [r for r in left_out(choice, experiment.dataset) if r not in reasons]
    from_loading = [{"protocol": "", "image": image, "reason": reason} for image, reason in reasons]
    skipped.keep(from_loading + [row for row in old_skipped if (row["protocol"], row["image"]) in kept])
    return finished


def _read(experiment: Experiment, batches: list[Batch], phases: Phases) -> Iterator[list[PreparedImage | str]]:
    """The prepared images of each batch, or the reasons why they are none."""
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
                found = next(batches_of_images)
            yield found


def _judge_batch(
    experiment: Experiment,
    batch: Batch,
    images: list[tuple[Sample, PreparedImage]],
    folder: Path,
    progress: Progress,
    phases: Phases,
) -> list[Row]:
    """The rows of a batch in the order of its images; images of one shape run together."""
    by_shape: dict[torch.Size, list[tuple[Sample, PreparedImage]]] = defaultdict(list)
    for sample, image in images:
        by_shape[image.tensor.shape].append((sample, image))
    rows: dict[str, list[Row]] = {sample.id: [] for sample, _ in images}
    for group in by_shape.values():
        for row in _judge_group(experiment, batch, group, folder, progress, phases):
            rows[row["image"]].append(row)
    return [row for of_image in rows.values() for row in of_image]


def _judge_group(
    experiment: Experiment,
    batch: Batch,
    images: list[tuple[Sample, PreparedImage]],
    folder: Path,
    progress: Progress,
    phases: Phases,
) -> list[Row]:
    choice = experiment.classes[batch.protocol.name]
    asked = [(i, trial) for i, (sample, _) in enumerate(images) for trial in choice.trials(sample)]
    if not asked:
        progress.advance(len(images))
        return []
    with phases("forward"):
        whole = forward_pass(experiment.backbone, torch.stack([image.tensor for _, image in images]))
        fp, trials = explain_trials(whole, [t for _, t in asked], [i for i, _ in asked])
        fixed = _fixed_columns(batch, fp, trials)
    sizes = [images[i][1].size for i, _ in asked]
    scenes = Scenes([t.target for t in trials], sizes, experiment.preparation(batch.protocol).geometry)
    again = 1 if any("masked_explanation" in spec.needs for spec in experiment.metrics.values()) else 0
    costs = [method.forwards(experiment.backbone) for method in experiment.methods]
    unit = len(images) / (sum(costs) * (1 + again) + len(costs))
    rows, shown = [], {}
    for method, cost in zip(experiment.methods, costs, strict=True):
        task = progress.task([unit * cost] * (1 + again) + [unit])
        evidence, values = _judge_method(experiment, batch, method, replace(fp, progress=task), scenes, phases)
        task.finish()
        rows.append([{**f, "method": method.title, **v} for f, v in zip(fixed, values, strict=True)])
        if evidence is not None and batch.first < experiment.config.maps:
            shown[method.title] = evidence
    if shown:
        with phases("pictures"):
            save_sheets(experiment, folder / "maps", batch.protocol, trials, fp, shown)
    return [row for of_trial in zip(*rows, strict=True) for row in of_trial]


def _judge_method(
    experiment: Experiment, batch: Batch, method: Method, fp: ForwardPass, scenes: Scenes, phases: Phases
) -> tuple[Evidence | None, list[Row]]:
    """Evidence and one row of values a trial; a method that fails gets rows that say how, and the run goes on.

    Where a batch fails, its trials are judged one by one: an image that breaks a method is one row, in any batch.
    """
    try:
        with phases("explain"):
            maps = method(fp)
        with phases("metrics"), torch.no_grad():
            if maps.ndim != 3 or len(maps) != len(fp):
                raise WrongMaps(f"maps are {tuple(maps.shape)}, not (N, h, w) with N = {len(fp)}")
            evidence = Evidence(fp, maps, batch.protocol, method, scenes)
            columns: dict[str, list[float]] = {}
            for spec in experiment.metrics.values():
                values = evidence.measure(spec).view(len(fp), -1)
                columns |= dict(zip(spec.columns, values.T.tolist(), strict=True))
    except UserError:
        raise
    except Exception as error:  # a plug-in or a full GPU: any error, and it must reach the table
        if len(fp) > 1 and not isinstance(error, WrongMaps):
            alone = [
                _judge_method(experiment, batch, method, _one(fp, i), scenes.only(i), phases)[1] for i in range(len(fp))
            ]
            return None, [row for rows in alone for row in rows]
        return None, [{"status": f"error: {in_words(error)}"}] * len(fp)
    rows = [dict(zip(columns, of_trial, strict=True)) for of_trial in zip(*columns.values(), strict=True)]
    return evidence, [{"status": s, **v} for s, v in zip(evidence.status, rows, strict=True)]


def _one(fp: ForwardPass, trial: int) -> ForwardPass:
    chosen = torch.tensor([trial], device=fp.classes.device)
    return fp.select(chosen, fp.classes[chosen])


def _fixed_columns(batch: Batch, fp: ForwardPass, trials: list[Trial]) -> list[Row]:
    columns = zip(trials, fp.logits.argmax(1).tolist(), fp.classes.tolist(), fp.probabilities.tolist(), strict=True)
    return [
        {
            "protocol": batch.protocol.name,
            "image": trial.sample.id,
            "category": trial.target.category if trial.target else "",
            "difficult": int(trial.target.hard) if trial.target else "",
            "label": "" if trial.sample.label is None else trial.sample.label,
            "predicted": predicted,
            "class": explained,
            "probability": probability,
        }
        for trial, predicted, explained, probability in columns
    ]
