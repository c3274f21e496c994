"""Judge one batch: every method it lacks, every metric, a row for each trial."""

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from reciprocam_bench.datasets.dataset import Sample
from reciprocam_bench.datasets.images import PreparedImage
from reciprocam_bench.engine.forecast import passes_of
from reciprocam_bench.engine.plan import Unit, Work
from reciprocam_bench.engine.progress import Progress
from reciprocam_bench.engine.raw_maps import RawMaps, raw_maps_of
from reciprocam_bench.engine.run import Run
from reciprocam_bench.engine.shown_images import keep_shown
from reciprocam_bench.engine.status import reason, with_notes
from reciprocam_bench.engine.trials import Trial, explain_trials
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import ForwardPass, forward_pass
from reciprocam_bench.metrics.evidence import Evidence
from reciprocam_bench.metrics.metric import Metric, passes
from reciprocam_bench.metrics.scenes import Scenes
from reciprocam_bench.protocols.protocol import Protocol
from reciprocam_bench.runfolder.schema import ERROR, VERSION

Row = dict[str, Any]
Images = list[tuple[Sample, PreparedImage]]
Maps = list[Tensor | None]  # (h, w) of each trial, raw; None where the method failed


class WrongMaps(ValueError):
    """A method returned something else than a map for each image: its own mistake, whatever the images are."""


@dataclass(frozen=True)
class Group:
    """The trials of images of one shape, which run together, and what is annotated for them."""

    protocol: Protocol
    fp: ForwardPass
    trials: list[Trial]
    scenes: Scenes

    def __len__(self) -> int:
        return len(self.trials)

    def only(self, trial: int) -> "Group":
        """One trial alone."""
        row = torch.tensor([trial], device=self.fp.classes.device)
        fp = self.fp.select(row, self.fp.classes[row])
        return replace(self, fp=fp, trials=[self.trials[trial]], scenes=self.scenes.only(trial))


def judge_batch(run: Run, work: Work, images: Images, progress: Progress) -> list[Row]:
    """The rows that a batch lacks, in the order of its images; images of one shape run together."""
    by_shape: dict[torch.Size, Images] = defaultdict(list)
    for sample, image in images:
        by_shape[image.tensor.shape].append((sample, image))
    rows: dict[str, list[Row]] = {sample.id: [] for sample, _ in images}
    for of_shape in by_shape.values():
        group = group_of(run, work, of_shape)
        if group is None:
            progress.advance(len(of_shape))
            continue
        for row in _judge_group(run, work, group, len(of_shape), progress):
            rows[row["image"]].append(row)
    return [row for of_image in rows.values() for row in of_image]


def group_of(run: Run, work: Work, images: Images) -> Group | None:
    """One forward pass of the images, seen as one of their trials; None where there are none."""
    protocol, experiment = work.batch.protocol, run.experiment
    choice = experiment.classes[protocol.name]
    asked = [(i, trial) for i, (sample, _) in enumerate(images) for trial in choice.trials(sample)]
    if not asked:
        return None
    with run.phases("forward"):
        whole = forward_pass(experiment.backbone, experiment.backbone.batch([image.tensor for _, image in images]))
        fp, trials = explain_trials(whole, [t for _, t in asked], [i for i, _ in asked])
    sizes = [images[i][1].size for i, _ in asked]
    scenes = Scenes([t.target for t in trials], sizes, experiment.preparation(protocol).geometry)
    if any(unit.method.spec.objects for unit in work.units):
        fp = replace(fp, objects=scenes.objects(*fp.images.shape[2:]).to(fp.images))
    return Group(protocol, fp, trials, scenes)


def _judge_group(run: Run, work: Work, group: Group, images: int, progress: Progress) -> list[Row]:
    backbone, fixed = run.experiment.backbone, _fixed_columns(group)
    costs = [passes_of(unit, unit.method.forwards(backbone), group.protocol) for unit in work.units]
    share = images / sum(map(sum, costs))
    rows: list[list[Row]] = []
    found: dict[str, Maps] = {}
    for unit, cost in zip(work.units, costs, strict=True):
        task = progress.task([share * passes for passes in cost])
        watched = replace(group, fp=replace(group.fp, progress=task))
        found[unit.method.title], values = _judge_unit(run, watched, unit, raw_maps_of(run, work, unit))
        task.finish()
        rows.append([{**f, "method": unit.method.title, **v} for f, v in zip(fixed, values, strict=True)])
    with run.phases("pictures"):
        for i, trial in enumerate(group.trials):
            if not run.experiment.shows(trial.sample.id):
                continue
            of_trial = {title: maps[i] for title, maps in found.items()}
            keep_shown(run, group.protocol, trial.sample.id, int(group.fp.classes[i]), group.fp.images[i], of_trial)
    return [row for of_trial in zip(*rows, strict=True) for row in of_trial]


def _judge_unit(run: Run, group: Group, unit: Unit, kept: RawMaps) -> tuple[Maps, list[Row]]:
    """Each trial's map and row of values; a method that fails gets rows that say how, and the run goes on.

    Where a batch fails, its trials are judged one by one: an image that breaks a method is one row, in any batch.
    """
    maps, why, of_one = None, "", False
    try:
        maps = kept.read(group.trials, group.fp)
        if maps is None:
            with run.phases("explain", unit.method.title):
                maps = unit.method(group.fp.copy())
            if maps.ndim != 3 or len(maps) != len(group) or not maps.numel():
                raise WrongMaps(f"maps are {tuple(maps.shape)}, not (N, h, w) with N = {len(group)}")
            kept.write(maps, group.trials, group.fp)
    except UserError:
        raise
    except Exception as error:  # a plug-in or a full GPU: any error, and it must reach the table
        maps, why, of_one = None, reason(error), not isinstance(error, WrongMaps)
    if maps is None:  # outside the handler, which keeps on the GPU what the failed batch holds
        if len(group) > 1 and of_one:
            alone = [_judge_unit(run, group.only(i), unit, RawMaps()) for i in range(len(group))]
            return [m for found, _ in alone for m in found], [row for _, rows in alone for row in rows]
        return [None] * len(group), [_blank(unit) | {"status": f"{ERROR}: {why}"}] * len(group)
    with run.phases("metrics"), torch.no_grad():
        evidence = evidence_of(group, unit, maps)
        rows: list[Row] = [{"status": status} for status in evidence.status]
    return list(evidence.raw), _with_values(run, rows, evidence, group, unit, maps)


def _with_values(run: Run, rows: list[Row], evidence: Evidence, group: Group, unit: Unit, maps: Tensor) -> list[Row]:
    """Add what was measured to each trial's row; a metric that fails leaves its own cells empty, the status says so."""
    single: dict[int, Evidence] = {}
    for metric in unit.metrics:
        with run.phases("metrics", metric.column), torch.no_grad():
            measured: list[list[float]] | None
            try:
                measured = evidence.measure(metric).reshape(len(group), -1).tolist()
            except UserError:
                raise
            except Exception:  # a plug-in or a full GPU; the images that are not to blame keep their values
                measured = None
            if measured is None:  # outside the handler, as above
                for i in range(len(group)):
                    single[i] = single.get(i) or evidence_of(group.only(i), unit, maps[i : i + 1])
                alone = [_measure_one(single[i], metric) for i in range(len(group))]
                measured = [values for values, _ in alone]
                for row, (_, why) in zip(rows, alone, strict=True):
                    row["status"] = with_notes(row["status"], [f"error in {metric.column}: {why}"] if why else [])
        for row, values in zip(rows, measured, strict=True):
            row |= dict(zip(metric.columns, values, strict=True))
    return rows


def _measure_one(evidence: Evidence, metric: Metric) -> tuple[list[float], str]:
    try:
        return evidence.measure(metric).reshape(-1).tolist(), ""
    except Exception as error:  # as above
        return [float("nan")] * len(metric.columns), reason(error)


def evidence_of(group: Group, unit: Unit, maps: Tensor) -> Evidence:
    """What the unit's metrics ask about its maps ``(N, h, w)``."""
    questions = len(group) * passes(unit.metrics, group.protocol, unit.method.forwards(group.fp.backbone))
    return Evidence(group.fp, maps, group.protocol, unit.method, group.scenes, questions)


def _blank(unit: Unit) -> Row:
    return {column: "" for metric in unit.metrics for column in metric.columns}


def _fixed_columns(group: Group) -> list[Row]:
    fp = group.fp
    columns = zip(
        group.trials, fp.logits.argmax(1).tolist(), fp.classes.tolist(), fp.probabilities.tolist(), strict=True
    )
    return [
        {
            "protocol": group.protocol.name,
            VERSION: group.protocol.version,
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
