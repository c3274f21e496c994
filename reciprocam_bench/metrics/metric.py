"""A metric with its options set: a column of a table."""

from dataclasses import dataclass, field
from typing import Any

from reciprocam_bench.metrics.annotated import LOCALISED
from reciprocam_bench.metrics.registry import METRICS, MetricSpec


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
    def explains_again(self) -> bool:
        """Whether it, or a metric it is made of, compares with the explanation of the masked image."""
        needs, metrics = self.spec.needs, METRICS.all()
        return "masked_explanation" in needs or any(default_metric(n).explains_again for n in needs if n in metrics)

    @property
    def forwards(self) -> float:
        """How many full forward passes an image costs beside the evidence that metrics share."""
        cost = self.spec.forwards
        return cost(self.options) if callable(cost) else cost


def default_metric(name: str) -> Metric:
    """The metric of a name with its default options, as other metrics name it; ``UserError`` for an unknown one."""
    spec = METRICS.get(name)
    return Metric(spec.name, spec)
