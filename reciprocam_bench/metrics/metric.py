"""A metric with its options set: a column of a table."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from reciprocam_bench.metrics.annotated import LOCALISED
from reciprocam_bench.metrics.registry import METRICS, Cost, MetricSpec
from reciprocam_bench.protocols.protocol import Protocol


@dataclass(frozen=True)
class Metric:
    """A metric with its options.

    Attributes:
        column: its name in tables of rows: the metric's id, with the options that were set, or its label.
        spec: what was registered.
        options: the options that were set.
    """

    column: str
    spec: MetricSpec
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """Its columns in ``per_image.csv``."""
        return tuple(f"{self.column}@{t}" for t in self.spec.thresholds) or (self.column,)

    @property
    def title(self) -> str:
        """Its heading in tables: the title and the options, or the label."""
        if self.column.startswith(self.spec.name):
            return self.spec.title + self.column.removeprefix(self.spec.name)
        return self.column

    @property
    def localised(self) -> bool:
        """Whether it compares maps with annotated objects; only trials that have some get values."""
        return not LOCALISED.isdisjoint(self.spec.needs)

    @property
    def parts(self) -> list["Metric"]:
        """The metrics that it names, with their default options."""
        return [default_metric(name) for name in self.spec.needs if name in METRICS.all()]

    def needs(self, *evidence: str) -> bool:
        """Whether it, or a metric it is made of, names one of these."""
        return not set(evidence).isdisjoint(self.spec.needs) or any(part.needs(*evidence) for part in self.parts)

    @property
    def forwards(self) -> float:
        """How many full forward passes an image costs beside the evidence and the metrics that it names."""
        return _cost(self.spec.forwards, self.options)

    @property
    def explains(self) -> float:
        """How many images are explained again for each image, beside the masked one."""
        return _cost(self.spec.explains, self.options)

    def under(self, protocol: Protocol) -> "Metric":
        """The same column with the options that a protocol sets where a config does not."""
        return replace(self, options={**protocol.options.get(self.spec.name, {}), **self.options})


def passes(metrics: Iterable[Metric], protocol: Protocol, method: float) -> float:
    """How many forward passes an image costs by metrics that ask and explain, each that several name counted once.

    ``method`` is what an explanation costs beside a forward pass.
    """
    found: dict[str, Metric] = {}
    todo = list(metrics)
    while todo:
        metric = todo.pop()
        if metric.column not in found:
            found[metric.column] = metric.under(protocol)
            todo += metric.parts
    return sum(m.forwards + m.explains * (1 + method) for m in found.values())


def _cost(cost: Cost, options: dict[str, Any]) -> float:
    return cost(options) if callable(cost) else cost


def default_metric(name: str) -> Metric:
    """The metric of a name with its default options, as other metrics name it; ``UserError`` for an unknown one."""
    spec = METRICS.get(name)
    return Metric(spec.name, spec)
