"""What is still to do: the units (protocol, batch, method) whose rows are not on disk, and the metrics they lack."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reciprocam_bench.datasets.dataset import Sample
from reciprocam_bench.engine.done import Done
from reciprocam_bench.engine.experiment import Experiment
from reciprocam_bench.explainers.registry import Method
from reciprocam_bench.metrics.metric import Metric
from reciprocam_bench.protocols.protocol import Protocol
from reciprocam_bench.runfolder.schema import KEY, PENDING


@dataclass(frozen=True)
class Batch:
    """Images judged together; the division into batches is the same whatever is done already."""

    protocol: Protocol
    first: int  # index of the first sample in the data set
    samples: list[Sample]


@dataclass(frozen=True)
class Unit:
    """A method that a batch lacks, and the metrics that are to be measured: all, or those that joined the run."""

    method: Method
    metrics: list[Metric]


@dataclass(frozen=True)
class Work:
    """A batch and what it lacks."""

    batch: Batch
    units: list[Unit]


def plan(experiment: Experiment, done: Done) -> list[Work]:
    """The batches that lack rows or values, in order; what rows of images that are not on record say is not known."""
    rows = done.rows.drop_duplicates(list(KEY), keep="last")
    lacking = _lacking(experiment, rows)
    found = rows.groupby(["protocol", "image", "method"], sort=False).size().to_dict() if len(rows) else {}
    recorded = set(done.images["image"])
    gone = set(zip(done.skipped["protocol"], done.skipped["image"], strict=True))
    work = []
    for batch in make_batches(experiment):
        name = batch.protocol.name
        expected = {s.id: len(experiment.classes[name].trials(s)) for s in batch.samples if (name, s.id) not in gone}
        on_record = recorded.issuperset(s.id for s in batch.samples)
        units = []
        for method in experiment.methods:
            keys = {(name, image, method.title): count for image, count in expected.items()}
            if not on_record or any(found.get(key, 0) != count for key, count in keys.items()):
                units.append(Unit(method, list(experiment.metrics.values())))
            else:
                columns = set().union(*(lacking.get(key, ()) for key in keys))
                if columns:
                    units.append(Unit(method, [m for m in experiment.metrics.values() if m.column in columns]))
        if units:
            work.append(Work(batch, units))
    return work


def make_batches(experiment: Experiment) -> list[Batch]:
    """Every protocol's images, cut into batches."""
    size, samples = experiment.batch_size, experiment.dataset.samples
    return [
        Batch(protocol, start, samples[start : start + size])
        for protocol in experiment.protocols
        for start in range(0, len(samples), size)
    ]


def rows_in_order(experiment: Experiment, rows: pd.DataFrame) -> pd.DataFrame:
    """The last row of every key, in the order of a run made whole; what the run no longer asks for comes last."""
    rows = rows.drop_duplicates(list(KEY), keep="last")
    places: dict[str, dict[str, int]] = _places(experiment) | {
        "method": {m.title: i for i, m in enumerate(experiment.methods)}
    }
    order = pd.DataFrame({key: rows[key].map(place).fillna(len(place)) for key, place in places.items()})
    trials = {s.id: {t.category: i for i, t in enumerate(s.targets)} for s in experiment.dataset.samples}
    order["trial"] = [trials.get(i, {}).get(c, 0) for i, c in zip(rows["image"], rows["category"], strict=True)]
    order = order.sort_values(["protocol", "image", "trial", "method"], kind="stable")
    return rows.loc[order.index]


def skipped_in_order(experiment: Experiment, skipped: pd.DataFrame) -> pd.DataFrame:
    """What loading left out, then what could not be read, in the order of a run made whole."""
    places = _places(experiment)
    places["protocol"][""] = -1
    order = pd.DataFrame({key: skipped[key].map(place).fillna(len(place)) for key, place in places.items()})
    order.loc[skipped["protocol"] == "", "image"] = 0  # in the order that loading gave
    return skipped.loc[order.sort_values(["protocol", "image"], kind="stable").index]


def images_in_order(experiment: Experiment, images: pd.DataFrame) -> pd.DataFrame:
    """The images in the order of the data set; those that the run no longer asks for come last."""
    places = _places(experiment)["image"]
    order = images["image"].map(places).fillna(len(places))
    return images.loc[order.sort_values(kind="stable").index]


def pending_rows(rows: pd.DataFrame) -> dict[tuple[str, ...], dict[str, Any]]:
    """Rows by key that have values already and lack some."""
    pending = rows[(rows == PENDING).any(axis=1)]
    return {tuple(row[k] for k in KEY): {str(k): v for k, v in row.items()} for row in pending.to_dict("records")}


def _places(experiment: Experiment) -> dict[str, dict[str, int]]:
    return {
        "protocol": {p.name: i for i, p in enumerate(experiment.protocols)},
        "image": {s.id: i for i, s in enumerate(experiment.dataset.samples)},
    }


def _lacking(experiment: Experiment, rows: pd.DataFrame) -> dict[tuple[str, str, str], set[str]]:
    lacking: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for metric in experiment.metrics.values():
        pending = rows[rows[metric.columns[0]] == PENDING]
        for key in zip(pending["protocol"], pending["image"], pending["method"], strict=True):
            lacking[key].add(metric.column)
    return lacking
