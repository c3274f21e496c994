"""What metrics may ask for is computed once, by name, and is what it says."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from tester import SIZES, evidence, metric_of

import reciprocam_bench as rb
from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.explainers.registry import Method
from reciprocam_bench.metrics import evidence as module
from reciprocam_bench.metrics.annotated import LOCALISED
from reciprocam_bench.metrics.evidence import EVIDENCE, Evidence
from reciprocam_bench.protocols.protocol import load_protocol


@pytest.fixture
def images() -> torch.Tensor:
    return 3 * torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def made(tiny: rb.Backbone, images: torch.Tensor) -> Evidence:
    return evidence(tiny, images, range(4))


def test_the_names_are_the_documented_ones() -> None:
    own = {"fp", "raw", "images", "status", "saliency", "explanation", "masked_fp", "masked_explanation"}
    assert own | {"probability", "masked_probability", "mask", "ask", "explain", "road"} == EVIDENCE
    assert {"located", "objects", "box_objects", "boxes", "seen_boxes"} == LOCALISED


def test_a_metric_gets_what_it_names(tiny: rb.Backbone, made: Evidence, images: torch.Tensor, new_metric: Callable):
    got = {}

    def curious(images, fp, raw, status, saliency, explanation, probability, masked_fp, complexity, *, option=1):
        got.update(locals())
        return probability

    new_metric("test-curious", curious, higher_is_better=True)
    assert torch.equal(made.measure(metric_of("test-curious", option=3)), made.probability)
    assert got["option"] == 3 and isinstance(got["fp"], ForwardPass) and got["status"] == ["ok"] * 4
    assert torch.equal(got["images"], images) and got["raw"].shape == (4, 4, 4)
    assert got["saliency"].shape == got["explanation"].shape == (4, 16, 16)
    low, high = got["raw"].amin((1, 2)), got["raw"].amax((1, 2))
    assert (low < high).all() and got["saliency"].min() >= 0 and got["saliency"].max() <= 1
    torch.testing.assert_close(got["masked_fp"].images, images * got["saliency"][:, None])
    torch.testing.assert_close(got["complexity"], got["explanation"].mean((1, 2)))
    torch.testing.assert_close(got["probability"], tiny(images).softmax(1).diagonal())


def test_the_protocol_decides_where_maps_are_judged(tiny: rb.Backbone, made: Evidence) -> None:
    there = Evidence(made.fp, made.raw, load_protocol("recipro-2024"))
    assert there.explanation.shape == (4, 4, 4) and made.explanation.shape == (4, 16, 16)


def test_the_masked_image_is_run_and_explained_once_for_all_metrics(
    made: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = {"forward": 0, "explain": 0}
    forward, explain = module.forward_pass, Method.__call__

    def counted_forward(*args: object) -> ForwardPass:
        calls["forward"] += 1
        return forward(*args)

    def counted_explain(self: Method, fp: ForwardPass) -> torch.Tensor:
        calls["explain"] += 1
        return explain(self, fp)

    monkeypatch.setattr(module, "forward_pass", counted_forward)
    monkeypatch.setattr(Method, "__call__", counted_explain)
    for name in ("average_drop", "increase", "coherency", "complexity", "adcc"):
        made.measure(metric_of(name))
    assert calls == {"forward": 1, "explain": 1}


def test_maps_are_laid_over_the_images_once_for_all_metrics(made: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    laid = []
    original = module.on_original

    def counted(maps, geometry, width, height):
        laid.append((len(maps), (width, height)))
        return original(maps, geometry, width, height)

    monkeypatch.setattr(module, "on_original", counted)
    for name in ("pointing_game", "pointing_game_box", "pointing_game_mask", "energy_pointing_game", "box_accuracy"):
        made.measure(metric_of(name))
    assert laid == [(2, SIZES[0]), (1, SIZES[1])]


def test_localised_and_other_evidence_mix_in_one_metric(
    tiny: rb.Backbone, images: torch.Tensor, made: Evidence, new_metric: Callable
) -> None:
    """Each name comes cut to the trials that have objects, also the network's answers."""
    seen = []

    def mixed(located, boxes, images, probability, status, fp, average_drop, ask):
        rows = torch.arange(len(images))
        assert len(located) == len(boxes) == len(status) == len(probability) == len(average_drop) == len(fp)
        asked = ask(images, rows)
        torch.testing.assert_close(asked, probability)
        torch.testing.assert_close(fp.probabilities, probability)
        seen.append([len(b) for b in boxes])
        return asked * located.amax((1, 2)) + average_drop

    new_metric("test-mixed", mixed, higher_is_better=True, forwards=1)
    metric = metric_of("test-mixed")
    assert metric.localised
    values = made.measure(metric)
    expected = made.probability + made.measure(metric_of("average_drop"))
    assert values[3].isnan() and seen == [[1, 1], [2]]
    torch.testing.assert_close(values[:3], expected[:3], rtol=0, atol=0.2)


def test_blank_maps_point_nowhere(tiny: rb.Backbone, images: torch.Tensor) -> None:
    maps = torch.rand(4, 4, 4)
    maps[0], maps[1, 2, 2] = 7.0, torch.nan
    made = evidence(tiny, images, range(4), maps)
    assert made.status == ["constant", "nan", "ok", "ok"]
    assert made.measure(metric_of("energy_pointing_game"))[:2].tolist() == [0, 0]
    assert made.measure(metric_of("box_accuracy"))[:2].eq(0).all()
    assert made.measure(metric_of("complexity"))[:2].tolist() == [0, 0]


@pytest.mark.parametrize("chunk", [1, 3, 64])
def test_ask_gives_the_probability_of_each_rows_class_in_chunks(
    tiny: rb.Backbone, images: torch.Tensor, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, shares = [], []

    made = evidence(tiny, images, range(4))
    monkeypatch.setattr(type(tiny), "chunk_size", lambda self, *_: chunk)
    forward = type(tiny).__call__
    monkeypatch.setattr(type(tiny), "__call__", lambda self, x: (sizes.append(len(x)), forward(self, x))[1])
    made.fp = replace(made.fp, progress=shares.append)
    made._questions = 10
    rows = torch.tensor([3, 0, 0, 2, 1, 3, 1])
    changed = images[rows].roll(1, dims=3)
    found = made.ask(changed, rows)
    monkeypatch.undo()
    torch.testing.assert_close(found, tiny(changed).softmax(1)[range(7), rows])
    assert sum(sizes) == 7 and max(sizes) <= chunk
    assert shares[-1] == 0.7 and shares == sorted(shares) and not found.requires_grad


def test_values_are_measured_once(made: Evidence, new_metric: Callable) -> None:
    calls = []
    new_metric("test-once", lambda probability: calls.append(1) or probability, higher_is_better=True)
    for _ in range(3):
        made.measure(metric_of("test-once"))
    assert calls == [1]
