"""What must hold for every metric, ours and a plug-in's; what a metric may ask for, and what happens where it fails."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tester import MetricTester
from tiny_runs import config, run, table
from torch import Tensor

import reciprocam_bench as rb
from reciprocam_bench.config import NamedConfig
from reciprocam_bench.engine import experiment as experiment_module
from reciprocam_bench.errors import UserError
from reciprocam_bench.metrics import evidence as evidence_module
from reciprocam_bench.metrics.lookup import make_metrics
from reciprocam_bench.metrics.registry import METRICS

BUILT_IN = sorted(METRICS.all())


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example plug-in, registered for one test."""
    from reciprocam_bench.explainers.registry import EXPLAINERS

    before = [(registry, set(registry.all())) for registry in (EXPLAINERS, METRICS)]
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "plugin"))
    importlib.import_module("rcam_bench_example")
    yield
    del sys.modules["rcam_bench_example"]
    for registry, names in before:
        for name in registry.all().keys() - names:
            del registry._specs[name]


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_metric_of_ours(tiny: rb.Backbone, name: str) -> None:
    MetricTester(tiny, name).check()


@pytest.mark.parametrize(("name", "options"), [("spread", {}), ("fading", {}), ("fading", {"steps": 3})])
def test_a_metric_of_a_plug_in(tiny: rb.Backbone, plugin: None, name: str, options: dict) -> None:
    MetricTester(tiny, name, **options).check(tolerance=1e-3)  # a pixel of equal rank may be blanked a step later


def test_a_metric_that_asks_28_times_is_answered_as_the_network_answers(tiny: rb.Backbone, plugin: None) -> None:
    tester = MetricTester(tiny, "fading")
    fp = rb.explain(tiny, tester.images, method="gradcam")
    values = rb.evaluate(tiny, tester.images, fp, method="gradcam", metrics=["fading", {"name": "fading", "steps": 4}])
    assert list(values) == ["fading", "fading[steps=4]"]
    saliency = rb.min_max(fp)
    saliency = torch.nn.functional.interpolate(saliency[:, None], size=(16, 16), mode="bilinear")[:, 0]
    classes = tiny(tester.images).argmax(1)
    expected = torch.zeros(4)
    for n in range(4):
        order = saliency[n].flatten().argsort()
        for k in range(1, 29):
            kept = torch.zeros(256)
            kept[order[: -(-256 * (28 - k) // 28)]] = 1  # ranks below 256 (1 - k/28)
            logits = tiny((tester.images[n] * kept.view(16, 16))[None])
            expected[n] += logits.softmax(1)[0, classes[n]] / 28
    torch.testing.assert_close(values["fading"], expected, rtol=1e-4, atol=1e-5)


def test_its_cost_is_known_and_its_column_named(plugin: None) -> None:
    metrics = make_metrics(
        NamedConfig.model_validate(m)
        for m in ({"name": "fading"}, {"name": "fading", "steps": 7}, {"name": "fading", "steps": 9, "label": "mine"})
    )
    assert [(m.column, m.title, m.forwards) for m in metrics.values()] == [
        ("fading", "Fading", 28),
        ("fading[steps=7]", "Fading[steps=7]", 7),
        ("mine", "mine", 9),
    ]


def test_a_metric_may_mix_localised_evidence_with_the_rest(tiny: rb.Backbone, new_metric: Callable) -> None:
    def mixed(probability: Tensor, located: Tensor, images: Tensor, ask: Callable, fp: rb.ForwardPass) -> Tensor:
        assert len(probability) == len(located) == len(images) == len(fp)
        rows = torch.arange(len(images))
        torch.testing.assert_close(ask(images, rows), probability)
        return located.amax((1, 2)) * probability

    new_metric("test-mixed", mixed, higher_is_better=True)
    MetricTester(tiny, "test-mixed").check()


def test_maps_are_laid_over_the_images_once_for_all_metrics(tiny: rb.Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, lay = [], evidence_module.on_original
    monkeypatch.setattr(evidence_module, "on_original", lambda *args: calls.append(args) or lay(*args))
    tester, seen = MetricTester(tiny, "pointing_game"), []
    measure = evidence_module.Evidence.measure

    def measure_all(self: evidence_module.Evidence, metric: object) -> Tensor:
        seen.append(self)
        for name in ("pointing_game_box", "energy_pointing_game", "max_box_acc"):
            measure(self, MetricTester(tiny, name).metric)
        return measure(self, metric)

    monkeypatch.setattr(evidence_module.Evidence, "measure", measure_all)
    tester.values("poppi-2021")
    assert len(seen) == 1 and len(calls) == 2  # two sizes of annotated images


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda salience: salience,
            "asks for 'salience', which is neither evidence nor a metric; did you mean 'saliency'",
        ),
        (lambda average_dorp: average_dorp, "neither evidence nor a metric; did you mean 'average_drop'"),
    ],
)
def test_what_a_metric_asks_for_is_checked_before_the_network_is_loaded(
    pictures: Path,
    tmp_path: Path,
    new_metric: Callable,
    monkeypatch: pytest.MonkeyPatch,
    function: Callable,
    message: str,
) -> None:
    monkeypatch.setattr(experiment_module, "set_up_backbone", lambda *rest: pytest.fail("the network was loaded"))
    new_metric("test-asks", function, higher_is_better=True)
    with pytest.raises(UserError, match=message):
        run(config(pictures, metrics=["test-asks"]), tmp_path / "run")


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_metric_that_fails_costs_its_own_cells(
    pictures: Path, tmp_path: Path, new_metric: Callable, batch_size: int
) -> None:
    def picky(images: Tensor, complexity: Tensor) -> Tensor:
        if (images.sum((1, 2, 3)) > 0).any():
            raise ValueError("too bright; sorry")
        return complexity

    run(config(pictures, metrics=["complexity"], batch_size=batch_size), tmp_path / "before")
    new_metric("test-picky", picky, higher_is_better=True)
    run(config(pictures, metrics=["complexity", "test-picky"], batch_size=batch_size), tmp_path / "run")
    before, after = table(tmp_path / "before"), table(tmp_path / "run")
    assert after["complexity"].equals(before["complexity"])
    failed = after["status"] != "ok"
    assert 0 < failed.sum() < len(after)
    assert set(after[failed]["status"]) == {"ok; error in test-picky: ValueError: too bright, sorry"}
    assert set(after[failed]["test-picky"]) == {""}
    assert after[~failed]["test-picky"].astype(float).tolist() == after[~failed]["complexity"].tolist()
    summary = table(tmp_path / "run", "summary")
    assert summary["errors"].tolist() == [0, 0] and summary["images"].tolist() == [6, 6]


@pytest.mark.parametrize("values", [lambda n: torch.zeros(n + 1), lambda n: [0.0] * n, lambda n: torch.zeros(n, 2)])
def test_values_of_another_shape_are_the_metrics_own_error(
    pictures: Path, tmp_path: Path, new_metric: Callable, values: Callable
) -> None:
    new_metric("test-shape", lambda probability: values(len(probability)), higher_is_better=True)
    run(config(pictures, metrics=["test-shape"], methods=["gradcam"], limit=2), tmp_path / "run")
    assert (
        table(tmp_path / "run")["status"].str.startswith("ok; error in test-shape: WrongValues: values must be").all()
    )


def test_whole_numbers_and_truth_values_are_values(pictures: Path, tmp_path: Path, new_metric: Callable) -> None:
    new_metric("test-truth", lambda probability: probability > 0, higher_is_better=True)
    run(config(pictures, metrics=["test-truth"], methods=["gradcam"], limit=2), tmp_path / "run")
    assert table(tmp_path / "run")["test-truth"].tolist() == [1, 1]


def test_an_aggregation_must_be_known_and_fit() -> None:
    for about, message in (
        ({"aggregation": "meen"}, "unknown aggregation 'meen'; did you mean 'mean'"),
        ({"aggregation": "harmonic-mean"}, "terms and aggregation 'harmonic-mean' go together"),
        ({"thresholds": ("1",)}, "thresholds and aggregation 'best-threshold' go together"),
    ):
        with pytest.raises(UserError, match=message):
            rb.metric("test-wrong", higher_is_better=True, **about)
