"""The decorator that makes a function a metric."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter, signature
from types import MappingProxyType
from typing import Any

from torch import Tensor

from reciprocam_bench.aggregation import AGGREGATIONS, OF_THRESHOLDS, column_of
from reciprocam_bench.errors import UserError, did_you_mean
from reciprocam_bench.registry import Registry

Cost = float | Callable[[dict[str, Any]], float]


@dataclass(frozen=True)
class MetricSpec:
    """A metric and how its data set value is made.

    Attributes:
        function: per-image values ``(N,)`` as fractions. Its positional parameters name the evidence it is given
            (`reciprocam_bench.metrics.evidence`), or other metrics; its keyword-only ones are options.
        title: its heading in tables.
        higher_is_better: the direction of the arrow in tables.
        aggregation: a name in `reciprocam_bench.aggregation.AGGREGATIONS`.
        terms: for ``harmonic-mean``, what it is the mean of: metrics, or ``1 - metric``.
        thresholds: for aggregations over thresholds, names of the T columns; values are then ``(N, T)``.
        forwards: how many full forward passes an image costs beside the evidence that metrics share; of the options
            where it depends on them.
        explains: how many images are explained again for each image, likewise.
        requires: modules that it needs beside the package's own, and how to install each.
    """

    name: str
    function: Callable[..., Tensor]
    title: str
    higher_is_better: bool
    aggregation: str
    terms: tuple[str, ...]
    thresholds: tuple[str, ...]
    forwards: Cost
    explains: Cost
    requires: Mapping[str, str]

    @property
    def needs(self) -> tuple[str, ...]:
        """The evidence and metrics that the function names."""
        return tuple(n for n, p in signature(self.function).parameters.items() if p.kind is not Parameter.KEYWORD_ONLY)


METRICS: Registry[MetricSpec] = Registry("metric", "reciprocam_bench.metrics.measures", "reciprocam_bench.metrics")


def metric(
    name: str,
    *,
    higher_is_better: bool,
    title: str | None = None,
    aggregation: str = "mean",
    terms: tuple[str, ...] = (),
    thresholds: tuple[str, ...] = (),
    forwards: Cost = 0,
    explains: Cost = 0,
    requires: Mapping[str, str] = MappingProxyType({}),
    aliases: tuple[str, ...] = (),
) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Register a function as the metric ``name``; `MetricSpec` says what the arguments mean.

    The title is the name in words if left out. Raises ``UserError`` for an aggregation that is unknown or does not fit.
    """
    if aggregation not in AGGREGATIONS:
        raise UserError(
            f"metric '{name}': unknown aggregation '{aggregation}'{did_you_mean(aggregation, AGGREGATIONS)}"
        )
    together = {"terms": (terms, ["harmonic-mean"]), "thresholds": (thresholds, list(OF_THRESHOLDS))}
    for what, (given, kinds) in together.items():
        if (aggregation in kinds) != bool(given):
            raise UserError(f"metric '{name}': {what} and aggregation '{kinds[0]}' go together")

    def register(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        needs = signature(function).parameters
        unknown = next((t for t in map(column_of, terms) if t not in needs), None)
        if unknown is not None:
            raise UserError(f"metric '{name}': its term '{unknown}' is no parameter of the function")
        heading = title or name.replace("_", " ").capitalize()
        METRICS.add(
            name,
            MetricSpec(
                name,
                function,
                heading,
                higher_is_better,
                aggregation,
                terms,
                thresholds,
                forwards,
                explains,
                requires,
            ),
            aliases,
        )
        return function

    return register
