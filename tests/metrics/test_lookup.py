"""Metrics of a config: found by name, checked, and joined by what they are made of, before any network is loaded."""

from collections.abc import Callable
from importlib.util import find_spec

import pytest

from reciprocam_bench.config import NamedConfig
from reciprocam_bench.errors import UserError
from reciprocam_bench.metrics.lookup import make_metrics
from reciprocam_bench.metrics.metric import Metric, passes
from reciprocam_bench.metrics.registry import METRICS, metric
from reciprocam_bench.protocols.protocol import load_protocol


def made(*asked: str | dict) -> dict[str, Metric]:
    return make_metrics(NamedConfig.model_validate({"name": m} if isinstance(m, str) else m) for m in asked)


def refused(*asked: str | dict) -> str:
    with pytest.raises(UserError) as caught:
        made(*asked)
    return str(caught.value)


def test_a_metric_of_means_brings_its_parts_in_front_of_it() -> None:
    parts = ["average_drop", "coherency", "complexity"]
    assert list(made("adcc")) == [*parts, "adcc"]
    assert list(made("complexity", "adcc", "increase")) == [
        *("complexity", "average_drop", "coherency", "adcc", "increase")
    ]


def test_unknown_and_repeated_metrics_are_named() -> None:
    assert refused("adc") == "unknown metric 'adc'; did you mean 'adcc'? (rcam-bench ls metrics)"
    assert refused("adcc", "adcc") == "metrics: 'adcc' is listed twice; remove one, or give one a label"
    assert "'increase' is listed twice" in refused("increase", {"name": "complexity", "label": "increase"})


def test_a_label_is_no_other_metrics_name() -> None:
    """It would stand for that metric in one that is made of it."""
    told = "metrics: 'coherency' is a metric; give complexity another label"
    labelled = {"name": "complexity", "label": "coherency"}
    assert refused(labelled, "adcc") == refused("adcc", labelled) == told
    assert list(made({"name": "complexity", "label": "complexity"})) == ["complexity"]


def test_options_make_columns_of_their_own(new_metric: Callable) -> None:
    def above(saliency, *, level: float = 0.5):
        return saliency

    name = new_metric("test_above", above, title="Above", higher_is_better=False)
    found = made(name, {"name": name, "level": 0.9}, {"name": name, "level": 0.1, "label": "low"})
    assert list(found) == ["test_above", "test_above[level=0.9]", "low"]
    assert [m.title for m in found.values()] == ["Above", "Above[level=0.9]", "low"]
    assert [m.options for m in found.values()] == [{}, {"level": 0.9}, {"level": 0.1}]
    assert refused({"name": name, "levl": 1}) == ("metric 'test_above': unknown option 'levl'; did you mean 'level'?")
    assert refused({"name": name, "level": "high"}).startswith("metric 'test_above': option 'level': Input should be")
    assert "listed twice" in refused({"name": name, "level": 0.9}, {"name": name, "level": 0.9})


@pytest.mark.parametrize(
    "function, told",
    [
        (
            lambda salency: salency,
            "asks for 'salency', which is neither evidence nor a metric; did you mean 'saliency'?",
        ),
        (lambda measure: measure, "asks for 'measure', which is neither evidence nor a metric"),
        (lambda _values: _values, "asks for '_values', which is neither evidence nor a metric"),
        (lambda test_odd: test_odd, "is made of itself (test_odd of test_odd); fix the plug-in"),
    ],
)
def test_what_a_metric_asks_for_is_checked(new_metric: Callable, function: Callable, told: str) -> None:
    new_metric("test_odd", function, higher_is_better=True)
    assert refused("test_odd").startswith(f"metric 'test_odd' {told}")


def test_a_circle_of_metrics_is_found_where_it_closes(new_metric: Callable) -> None:
    new_metric("test_a", lambda test_b: test_b, higher_is_better=True)
    new_metric("test_b", lambda test_a: test_a, higher_is_better=True)
    assert refused("test_a") == "metric 'test_a' is made of itself (test_a of test_b of test_a); fix the plug-in"


@pytest.mark.parametrize(
    "about, told",
    [
        (
            {"aggregation": "total"},
            "unknown aggregation 'total'; known: area-under-curve, best-threshold, harmonic-mean, mean, mean-of-",
        ),
        ({"aggregation": "meen"}, "unknown aggregation 'meen'; did you mean 'mean'?"),
        ({"aggregation": "harmonic-mean"}, "terms and aggregation 'harmonic-mean' go together"),
        ({"terms": ("complexity",)}, "terms and aggregation 'harmonic-mean' go together"),
        ({"aggregation": "best-threshold"}, "thresholds and aggregation 'best-threshold' go together"),
        ({"thresholds": ("0.5",)}, "thresholds and aggregation 'best-threshold' go together"),
    ],
)
def test_the_aggregation_stands_in_the_decorator_and_is_checked_there(about: dict, told: str) -> None:
    with pytest.raises(UserError) as caught:
        metric("test_odd", higher_is_better=True, **about)
    assert str(caught.value).startswith(f"metric 'test_odd': {told}")
    assert "test_odd" not in METRICS.all()


def test_forwards_may_depend_on_options(new_metric: Callable) -> None:
    def curve(ask, *, steps: int = 28):
        return ask

    new_metric("test_curve", curve, higher_is_better=True, forwards=lambda options: options.get("steps", 28))
    assert [m.forwards for m in made("test_curve", {"name": "test_curve", "steps": 5}, "increase").values()] == [
        28,
        5,
        0,
    ]


def test_passes_count_what_several_metrics_name_once_and_follow_the_protocol() -> None:
    poppi, recipro = load_protocol("poppi-2021"), load_protocol("recipro-2024")
    assert [passes(made("insertion_auc").values(), p, 1.0) for p in (poppi, recipro)] == [28, 49]
    assert passes(made({"name": "insertion_auc", "variant": "torch-cam"}).values(), recipro, 1.0) == 20
    assert passes(made("road_combined").values(), poppi, 1.0) == 18
    assert passes(made("road_combined", "road_morf", "road_lerf", "increase").values(), poppi, 1.0) == 18
    assert passes(made("flip_equivariance", "top_drop").values(), poppi, 5.0) == 1 * (1 + 5) + 1


def test_every_shipped_metric_says_what_it_is() -> None:
    for spec in METRICS.all().values():
        assert spec.function.__doc__ and spec.needs and spec.title
        if not all(map(find_spec, spec.requires)):
            continue
        assert make_metrics([NamedConfig.model_validate({"name": spec.name})])
