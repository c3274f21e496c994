"""How far maps and metrics of a reduced precision, or of a compiled network, are from those of plain float32."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from reciprocam_bench.backbones.arithmetic import without_tf32
from reciprocam_bench.datasets.images import PreparedImages
from reciprocam_bench.engine.judge import Group, Images, evidence_of, group_of
from reciprocam_bench.engine.plan import Batch, Unit, Work, make_batches
from reciprocam_bench.engine.run import Run
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import forward_pass
from reciprocam_bench.metrics.evidence import Evidence
from reciprocam_bench.metrics.metric import Metric

# By method: the largest difference of its "map" and of "metrics" by column, and how many maps have "other_status".
Differences = dict[str, dict[str, Any]]


def compare_with_float32(run: Run) -> None:
    """Record how the run's arithmetic differs from plain float32 on the first batch, and say it; once a run folder."""
    config = run.experiment.config
    if (config.precision == "float32" and not config.compile) or run.against_float32:
        return
    with run.phases("compare with float32"):
        found = _compared(run)
    if found:
        run.against_float32.update(found)
        run.record(finished=False)
        run.screen.say(_in_words(found))


def _compared(run: Run) -> dict[str, Any]:
    """The differences on the first batch of the first protocol; nothing where it holds nothing to explain."""
    batch, experiment = make_batches(run.experiment)[0], run.experiment
    units = [Unit(method, list(experiment.metrics.values())) for method in experiment.methods]
    images = _of_one_shape(run, batch)
    plain = replace(run, experiment=replace(experiment, backbone=experiment.backbone.exact))
    with without_tf32():
        group = group_of(plain, Work(batch, units), images) if images else None
    if group is None:
        return {}
    again = forward_pass(experiment.backbone, group.fp.images, group.fp.classes)
    other = replace(group, fp=replace(again, objects=group.fp.objects))
    changed = int((again.logits.argmax(1) != group.fp.logits.argmax(1)).sum())
    methods = {unit.method.title: found for unit in units if (found := _of_method(group, other, unit))}
    return {
        "precision": experiment.config.precision,
        "compile": experiment.config.compile,
        "protocol": batch.protocol.name,
        "images": len(images),
        "trials": len(group),
        "other_class_predicted": changed,
        "methods": methods,
    }


def _of_one_shape(run: Run, batch: Batch) -> Images:
    """The readable images of a batch that have the first one's shape."""
    prepared = PreparedImages([str(s.path) for s in batch.samples], run.experiment.preparation(batch.protocol))
    read = [(sample, prepared[i]) for i, sample in enumerate(batch.samples)]
    good = [(sample, item) for sample, item in read if not isinstance(item, str)]
    return [(sample, item) for sample, item in good if item.tensor.shape == good[0][1].tensor.shape]


def _of_method(plain: Group, other: Group, unit: Unit) -> dict[str, Any] | None:
    """The differences of one method; None where it fails, which the rows will say."""
    try:
        with without_tf32():
            expected, values = _judged(plain, unit)
        found, others = _judged(other, unit)
    except UserError:
        raise
    except Exception:  # a plug-in or a full GPU
        return None
    metrics = {column: _largest(value, others[column]) for column, value in values.items() if column in others}
    changed = sum(a != b for a, b in zip(expected.status, found.status, strict=True))
    return {
        "map": _largest(_scaled(expected.raw), _scaled(found.raw)),
        "metrics": metrics,
        "other_status": changed,
    }


def _judged(group: Group, unit: Unit) -> tuple[Evidence, dict[str, Tensor]]:
    evidence = evidence_of(group, unit, unit.method(group.fp))
    with torch.no_grad():
        return evidence, dict(_values(evidence, unit.metrics, len(group)))


def _values(evidence: Evidence, metrics: list[Metric], count: int) -> Iterator[tuple[str, Tensor]]:
    """Values ``(N,)`` by column; those of a metric that fails are left out, as the rows will say."""
    for metric in metrics:
        try:
            measured = evidence.measure(metric).reshape(count, -1)
        except UserError:
            raise
        except Exception:  # as above
            continue
        yield from zip(metric.columns, measured.T, strict=True)


def _scaled(maps: Tensor) -> Tensor:
    """Raw maps ``(N, h, w)``, each from its smallest value, 0, to its largest, 1."""
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / (high - low).clamp(min=torch.finfo(maps.dtype).tiny)


def _largest(first: Tensor, other: Tensor) -> float | None:
    """The largest absolute difference of numbers that both have; None where there are none."""
    gaps = (first.cpu().double() - other.cpu().double()).abs()
    gaps = gaps[gaps.isfinite()]
    return float(f"{gaps.max():.3g}") if gaps.numel() else None


def _in_words(found: dict[str, Any]) -> str:
    methods: Differences = found["methods"]
    maps = {title: of["map"] for title, of in methods.items() if of["map"] is not None}
    metrics = {
        f"{column} of {title}": value
        for title, of in methods.items()
        for column, value in of["metrics"].items()
        if value is not None
    }
    parts = []
    if maps:
        title = max(maps, key=lambda name: maps[name])
        parts.append(f"maps by up to {100 * maps[title]:.2g} % of their range ({title})")
    if metrics:
        title = max(metrics, key=lambda name: metrics[name])
        parts.append(f"metrics by up to {metrics[title]:.2g} ({title})")
    if lost := [title for title, of in methods.items() if of["other_status"]]:
        parts.append(f"constant or NaN maps in one alone ({', '.join(lost)})")
    how = found["precision"] + (", compiled," if found["compile"] else "")
    return (
        f"{how} against float32 on the first {found['images']} images: {', '.join(parts) or 'nothing to compare'}; "
        f"another class predicted in {found['other_class_predicted']} of {found['trials']}"
    )
