"""ROAD's imputation against a sparse solve and against pytorch-grad-cam, and its metrics against a plain loop."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from plain import imputed, softmax_of
from tester import evidence, metric_of

import reciprocam_bench as rb
from reciprocam_bench.explainers.noise import generators
from reciprocam_bench.metrics.imputation import impute
from reciprocam_bench.metrics.measures.arcc import arcc
from reciprocam_bench.metrics.perturbed import pixel_ranks

SIZE = 45  # odd on several grids


@pytest.fixture
def images() -> torch.Tensor:
    return 3 * torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def holes(kind: str, share: float) -> torch.Tensor:
    """Missing pixels: at random, by a smooth map, all but one, or a frame."""
    generator = torch.Generator().manual_seed(4)
    if kind == "random":
        return torch.rand(SIZE, SIZE, generator=generator) < share
    if kind == "frame":
        inside = torch.zeros(SIZE, SIZE, dtype=torch.bool)
        inside[12:30, 9:36] = True
        return ~inside
    if kind == "all but one":
        missing = torch.ones(SIZE, SIZE, dtype=torch.bool)
        missing[3, 40] = False
        return missing
    smooth = F.interpolate(torch.rand(1, 1, 7, 7, generator=generator), (SIZE, SIZE), mode="bilinear")[0]
    return pixel_ranks(smooth)[0] < share * SIZE * SIZE


CASES = [("random", 0.1), ("random", 0.9), ("smooth", 0.1), ("smooth", 0.5), ("smooth", 0.9), ("frame", 0.8)]
CASES += [("all but one", 1.0)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_imputation_is_that_of_a_sparse_solve(case: tuple) -> None:
    image = 2 * torch.randn(3, SIZE, SIZE, generator=torch.Generator().manual_seed(5))
    missing = holes(*case)
    found = impute(image[None], missing[None])[0]
    np.testing.assert_allclose(found.numpy(), imputed(image.numpy(), missing.numpy()), atol=1e-4)
    assert torch.equal(found[:, ~missing], image[:, ~missing])


def test_images_of_a_stack_do_not_change_each_other() -> None:
    stack = torch.randn(len(CASES), 2, SIZE, SIZE, generator=torch.Generator().manual_seed(6))
    missing = torch.stack([holes(*case) for case in CASES])
    together = impute(stack, missing)
    for row in range(len(CASES)):
        torch.testing.assert_close(together[row], impute(stack[[row]], missing[[row]])[0], atol=1e-6, rtol=0)


def test_nothing_missing_changes_nothing() -> None:
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(impute(images, torch.zeros(2, 8, 8, dtype=torch.bool)), images)


def test_a_constant_picture_is_found_again_behind_any_hole() -> None:
    missing = torch.stack([holes(*case) for case in CASES])
    torch.testing.assert_close(
        impute(torch.full((len(CASES), 1, SIZE, SIZE), 7.0), missing),
        torch.full((len(CASES), 1, SIZE, SIZE), 7.0),
        atol=1e-4,
        rtol=0,
    )


@pytest.mark.parametrize("case", [("random", 0.5), ("smooth", 0.5)], ids=str)
def test_pytorch_gradcam_imputes_the_same(case: tuple) -> None:
    road = pytest.importorskip("pytorch_grad_cam.metrics.road")
    image, missing = torch.randn(3, SIZE, SIZE, generator=torch.Generator().manual_seed(5)), holes(*case)
    theirs = road.NoisyLinearImputer(noise=0.0)(image, (~missing).float())
    torch.testing.assert_close(impute(image[None], missing[None])[0], theirs, atol=1e-4, rtol=0)


def plain_road(made, net, row: int, shares: list[float], first: str) -> float:
    """The metric in a loop: rank with noise, remove, solve, add noise, ask."""
    image, saliency = made.images[row].double().numpy(), made.saliency[row].numpy()
    generator = generators(made.fp, 0)[row]
    ties = torch.randn(16, 16, generator=generator).numpy()
    noise = torch.randn(3, 16, 16, generator=generator).numpy() / np.array([0.229, 0.224, 0.225])[:, None, None]
    order = np.argsort(-(saliency + np.float32(1e-4) * ties).ravel(), kind="stable")
    scores = []
    for share in shares:
        top = np.zeros(256, dtype=bool)
        top[order[: round(share * 256)]] = True
        missing = (top if first == "most" else ~top).reshape(16, 16)
        scores.append(net(imputed(image, missing) + 0.01 * noise * missing))
    return float(np.mean(scores))


def test_road_and_arcc_are_those_of_a_plain_loop(tiny: rb.Backbone, images: torch.Tensor) -> None:
    made = evidence(tiny, images, range(4))
    names = ("road_morf", "road_lerf", "road_combined", "arcc", "coherency", "complexity")
    found = {name: made.measure(metric_of(name)) for name in names}
    tenths, fifths = [i / 10 for i in range(1, 10)], [0.2, 0.4, 0.6, 0.8]
    for row in range(4):
        net = softmax_of(tiny, row)
        most, least = (plain_road(made, net, row, tenths, first) for first in ("most", "least"))
        expected = {"road_morf": most, "road_lerf": least, "road_combined": (least - most) / 2}
        most, least = (plain_road(made, net, row, fifths, first) for first in ("most", "least"))
        terms = (found["coherency"][row], 1 - found["complexity"][row], min(max(least - most, 0), 1))
        expected["arcc"] = float(3 / sum(1 / (term + 1e-8) for term in terms))
        assert {name: found[name][row].item() for name in expected} == pytest.approx(expected, abs=1e-4)


def test_what_two_metrics_ask_of_road_is_asked_once(tiny: rb.Backbone, images: torch.Tensor) -> None:
    made, asked = evidence(tiny, images, range(4)), []
    ask = made.ask
    made.ask = lambda changed, rows: asked.append(len(rows)) or ask(changed, rows)
    alone = evidence(tiny, images, range(4)).measure(metric_of("arcc"))
    for name in ("road_morf", "road_lerf", "arcc", "road_combined"):
        made.measure(metric_of(name))
    assert sum(asked) == 4 * 2 * 9
    assert torch.equal(made.measure(metric_of("arcc")), alone)


def test_a_map_without_contrast_is_ranked_at_random_and_leaves_a_pixel(tiny: rb.Backbone, images) -> None:
    made = evidence(tiny, images, range(4), torch.ones(4, 4, 4))
    assert made.status == ["constant"] * 4
    assert not made.measure(metric_of("road_combined")).isnan().any()


def test_arcc_where_the_map_is_no_better_than_its_reverse_is_nearly_0() -> None:
    found = arcc(torch.ones(1), torch.zeros(1), lambda first, shares: torch.full((1,), 0.5))
    assert 0 <= found.item() < 1e-7


def test_pytorch_gradcam_judges_the_same(tiny: rb.Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    # Of 400 pixels each percentile is a whole number; elsewhere it removes one pixel more or less than we do.
    images = 3 * torch.randn(4, 3, 20, 20, generator=torch.Generator().manual_seed(1))
    theirs = pytest.importorskip("pytorch_grad_cam.metrics.arcc")
    # Noise that is drawn anew would hide all else: none, on either side.
    road = pytest.importorskip("pytorch_grad_cam.metrics.road")
    monkeypatch.setattr(road.NoisyLinearImputer.__init__, "__defaults__", (0.0, road.neighbors_weights))
    for noise in ("_NOISE", "_TIES"):
        monkeypatch.setattr(f"reciprocam_bench.metrics.road_scores.{noise}", 0.0)
    made = evidence(tiny, images, range(4))

    def again(input_tensor: torch.Tensor, targets: list) -> np.ndarray:
        return evidence(tiny, input_tensor, range(4)).saliency.numpy()

    def softmax(row: int):
        return lambda logits: logits.softmax(-1)[row]

    given = (made.images, made.saliency.numpy(), [softmax(row) for row in range(4)], tiny)
    found = theirs.ARCC(again)(*given)
    np.testing.assert_allclose(made.measure(metric_of("arcc")).numpy(), found, atol=1e-3)
    np.testing.assert_allclose(made.measure(metric_of("road_combined")).numpy(), road.ROADCombined()(*given), atol=1e-3)
