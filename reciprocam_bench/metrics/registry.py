"""The decorator that makes a function a metric."""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Literal

from torch import Tensor

from reciprocam_bench.errors import UserError
from reciprocam_bench.registry import Registry

Summary = Literal["mean", "of-means"]


@dataclass(frozen=True)
class MetricSpec:
    """A metric and how its data set value is made.

    Attributes:
        function: per-image values ``(N,)`` as fractions, from what it names as parameters: attributes of
            `reciprocam_bench.engine.evidence.Evidence`, or other metrics.
        higher_is_better: the direction of the arrow in tables.
        summary: ``mean`` of the per-image values, or ``of-means``: the function itself, applied to the data set means
            of the metrics it takes.
    """

    name: str
    function: Callable[..., Tensor]
    higher_is_better: bool
    summary: Summary

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the function's parameters."""
        return tuple(signature(self.function).parameters)


METRICS: Registry[MetricSpec] = Registry("metric", "reciprocam_bench.metrics", "reciprocam_bench.metrics")


def metric(
    name: str, *, higher_is_better: bool, summary: Summary = "mean", aliases: tuple[str, ...] = ()
) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Register a function as the metric ``name``."""

    def register(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        METRICS.add(name, MetricSpec(name, function, higher_is_better, summary), aliases)
        return function

    return register


def make_metrics(names: list[str]) -> dict[str, MetricSpec]:
    """Look metrics up, in the order of ``names``; a metric made of others brings those along."""
    specs: dict[str, MetricSpec] = {}
    for name in names:
        spec = METRICS.get(name)
        for part in spec.needs if spec.summary == "of-means" else ():
            specs.setdefault(part, METRICS.get(part))
        specs.setdefault(spec.name, spec)
    if len(set(names)) < len(names):
        raise UserError("metrics: a metric is listed twice; remove one")
    return specs
