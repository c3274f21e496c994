"""Look metrics up by name, and check what they ask for before any network is loaded."""

from collections.abc import Iterable
from importlib.util import find_spec

from reciprocam_bench.aggregation import column_of
from reciprocam_bench.config import NamedConfig
from reciprocam_bench.errors import UserError, did_you_mean
from reciprocam_bench.metrics.annotated import LOCALISED
from reciprocam_bench.metrics.evidence import EVIDENCE
from reciprocam_bench.metrics.metric import Metric, default_metric
from reciprocam_bench.metrics.registry import METRICS, MetricSpec
from reciprocam_bench.protocols.protocol import Protocol
from reciprocam_bench.registry import check_options


def make_metrics(configs: Iterable[NamedConfig]) -> dict[str, Metric]:
    """The metrics of a config by column, in its order; one made of others brings those along in front of it.

    Raises ``UserError`` for unknown names and options, two metrics of one column, and a metric that asks for what
    there is not.
    """
    metrics: dict[str, Metric] = {}
    asked: set[str] = set()
    for config in configs:
        metric = _make(config)
        if metric.column in asked:
            raise UserError(f"metrics: '{metric.column}' is listed twice; remove one, or give one a label")
        if metric.column in METRICS.all() and metric.column != metric.spec.name:
            raise UserError(f"metrics: '{metric.column}' is a metric; give {metric.spec.name} another label")
        asked.add(metric.column)
        parts = {column_of(term) for term in metric.spec.terms}
        for name in sorted(parts, key=metric.spec.needs.index):
            metrics.setdefault(name, default_metric(name))
        metrics.setdefault(metric.column, metric)
    return metrics


def check_options_of(protocol: Protocol) -> None:
    """Refuse options of metrics in a protocol that no metric has."""
    for name, options in protocol.options.items():
        try:
            _make(NamedConfig.model_validate({"name": name, **options}))
        except UserError as error:
            raise UserError(f"{protocol.path or 'protocol'}: options.{name}: {error}") from None


def _make(config: NamedConfig) -> Metric:
    spec = METRICS.get(config.name)
    options = check_options(f"metric '{config.name}'", spec.function, config.options)
    _check_needs(spec, ())
    for module, cure in spec.requires.items():
        if find_spec(module) is None:
            raise UserError(f"metric '{spec.name}' needs {module}, which is not installed; {cure}")
    metric = Metric(config.title if config.label or config.options else spec.name, spec, options)
    metric.forwards, metric.explains  # noqa: B018 - options that do not go together are told where they are counted
    return metric


def _check_needs(spec: MetricSpec, above: tuple[str, ...]) -> None:
    """Refuse a metric that names no evidence and no metric, or itself."""
    if spec.name in above:
        raise UserError(f"metric '{spec.name}' is made of itself ({' of '.join((*above, spec.name))}); fix the plug-in")
    for name in spec.needs:
        if name in EVIDENCE | LOCALISED:
            continue
        if name not in METRICS.all():
            known = did_you_mean(name, EVIDENCE | LOCALISED | METRICS.all().keys())
            raise UserError(f"metric '{spec.name}' asks for '{name}', which is neither evidence nor a metric{known}")
        _check_needs(METRICS.get(name), (*above, spec.name))
