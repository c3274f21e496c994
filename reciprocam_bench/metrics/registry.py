"""The decorator that makes a function a metric."""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Literal

from torch import Tensor

from reciprocam_bench.errors import UserError
from reciprocam_bench.registry import Registry

Summary = Literal["mean", "of-means", "mean-of-classes", "best-threshold"]

# What metrics of localisation see: maps on the original image's pixels and the objects there.
_LOCALISED = {"located", "objects", "box_objects", "boxes"}


@dataclass(frozen=True)
class MetricSpec:
    """A metric and how its data set value is made.

    Attributes:
        function: per-image values ``(N,)`` as fractions, from what it names as parameters: attributes of
            `reciprocam_bench.engine.evidence.Evidence`, or other metrics.
        higher_is_better: the direction of the arrow in tables.
        summary: ``mean`` of the per-image values; ``of-means``: the function itself, applied to the data set means of
            the metrics it takes; ``mean-of-classes``: the mean over categories of each category's mean;
            ``best-threshold``: values are ``(N, T)``, and the best of the T means counts.
        thresholds: names of the T columns of a ``best-threshold`` metric.
    """

    name: str
    function: Callable[..., Tensor]
    higher_is_better: bool
    summary: Summary
    thresholds: tuple[str, ...] = ()

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the function's parameters."""
        return tuple(signature(self.function).parameters)

    @property
    def localised(self) -> bool:
        """Whether it compares maps with annotated objects; only trials that have some get values."""
        return bool(_LOCALISED & set(self.needs))

    @property
    def columns(self) -> tuple[str, ...]:
        """Its columns in ``per_image.csv``."""
        return tuple(f"{self.name}@{t}" for t in self.thresholds) or (self.name,)


METRICS: Registry[MetricSpec] = Registry("metric", "reciprocam_bench.metrics", "reciprocam_bench.metrics")


def metric(
    name: str,
    *,
    higher_is_better: bool,
    summary: Summary = "mean",
    thresholds: tuple[str, ...] = (),
    aliases: tuple[str, ...] = (),
) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Register a function as the metric ``name``."""

    def register(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        METRICS.add(name, MetricSpec(name, function, higher_is_better, summary, thresholds), aliases)
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
