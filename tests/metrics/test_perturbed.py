"""Insertion, deletion and what they are made of, against plain NumPy loops."""

from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise

import numpy as np
import pytest
import torch
from plain import rise_kernel, softmax_of
from tester import METHOD, check, evidence, metric_of
from torch import tensor

import reciprocam_bench as rb
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import forward_pass
from reciprocam_bench.metrics.evidence import Evidence
from reciprocam_bench.metrics.measures.insertion_deletion import deletion_auc, insertion_auc
from reciprocam_bench.metrics.measures.top_share import top_drop
from reciprocam_bench.metrics.perturbed import answers, blurred, cell_ranks, pixel_ranks
from reciprocam_bench.protocols.maps import normalise
from reciprocam_bench.protocols.protocol import load_protocol

VARIANTS = ["rise", "torch-cam", "recipro-2024"]


@pytest.fixture
def images() -> torch.Tensor:
    return 3 * torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def rise(net: Callable, image: np.ndarray, saliency: np.ndarray, mode: str, step: int) -> float:
    """RISE's script: so many pixels a step, each image of the curve asked for, the trapezium of its scores."""
    order = sorted(range(saliency.size), key=lambda i: -saliency.ravel()[i])
    if mode == "deletion":
        start, finish = image.copy(), np.zeros_like(image)
    else:
        kernel, padded = rise_kernel(), np.pad(image, ((0, 0), (5, 5), (5, 5)))
        start, finish = np.zeros_like(image), image
        for y in range(image.shape[1]):
            for x in range(image.shape[2]):
                window = padded[:, y : y + 11, x : x + 11]
                start[:, y, x] = (window * np.outer(kernel, kernel)).sum((1, 2))
    scores, steps = [], -(-saliency.size // step)
    for i in range(steps + 1):
        scores.append(net(start))
        for pixel in order[i * step : (i + 1) * step]:
            start[:, pixel // saliency.shape[1], pixel % saliency.shape[1]] = finish[
                :, pixel // saliency.shape[1], pixel % saliency.shape[1]
            ]
    return (sum(scores) - scores[0] / 2 - scores[-1] / 2) / (len(scores) - 1)


def cells(net: Callable, image: np.ndarray, cam: np.ndarray, mode: str, side: int) -> float:
    """The 49 cells, one by one; the last row and column of the image end at the image."""
    order = sorted(range(49), key=lambda i: -cam.ravel()[i])
    size = image.shape[1]
    now = image.copy() if mode == "deletion" else np.broadcast_to(image.mean((1, 2), keepdims=True), image.shape).copy()
    scores = [net(image)] if mode == "deletion" else []
    for cell in order:
        y, x = cell // 7 * side, cell % 7 * side
        part = np.s_[:, y : min(y + side, size - 1) + 1, x : min(x + side, size - 1) + 1]
        now[part] = 0 if mode == "deletion" else image[part]
        scores.append(net(now))
    scores += [net(image)] if mode == "insertion" else []
    return sum((a + b) / 2 for a, b in pairwise(scores)) / len(scores)


@pytest.mark.parametrize("mode", ["deletion", "insertion"])
@pytest.mark.parametrize("step", [16, 64])
def test_they_are_those_of_rises_script(tiny: rb.Backbone, images: torch.Tensor, mode: str, step: int) -> None:
    made = evidence(tiny, images, range(4))
    found = made.measure(metric_of(f"{mode}_auc", steps=256 // step))
    for row in range(4):
        net = softmax_of(tiny, row)
        expected = rise(net, images[row].numpy().astype(float), made.saliency[row].numpy(), mode, step)
        assert found[row].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("mode", ["deletion", "insertion"])
def test_the_49_cells_are_those_of_a_plain_loop_and_recipro_2024_chooses_them(tiny: rb.Backbone, mode: str) -> None:
    images = 3 * torch.randn(2, 3, 28, 28, generator=torch.Generator().manual_seed(2))
    maps = torch.rand(2, 7, 7, generator=torch.Generator().manual_seed(3)).mul(20).round()  # with ties
    fp = forward_pass(tiny, images, tensor([1, 3]))
    found = Evidence(fp, maps, load_protocol("recipro-2024"), METHOD).measure(metric_of(f"{mode}_auc"))
    for row, index in enumerate((1, 3)):
        expected = cells(softmax_of(tiny, index), images[row].numpy().astype(float), maps[row].numpy(), mode, 4)
        assert found[row].item() == pytest.approx(expected, abs=1e-6)
    under_poppi = Evidence(fp, maps, load_protocol("poppi-2021"), METHOD)
    asked_for = metric_of(f"{mode}_auc", variant="recipro-2024")
    torch.testing.assert_close(under_poppi.measure(asked_for), found)
    assert not torch.allclose(under_poppi.measure(metric_of(f"{mode}_auc")), found, atol=1e-3)


def test_a_config_sets_another_variant_than_the_protocol(tiny: rb.Backbone, images: torch.Tensor) -> None:
    made = evidence(tiny, images, range(4))
    there = Evidence(made.fp, made.raw, load_protocol("recipro-2024"), METHOD)
    there.saliency = made.saliency
    asked_for = metric_of("deletion_auc", variant="rise")
    torch.testing.assert_close(there.measure(asked_for), made.measure(metric_of("deletion_auc")))


@pytest.mark.parametrize("name", ["insertion_auc", "deletion_auc"])
@pytest.mark.parametrize("options", [{"variant": v} for v in VARIANTS] + [{"steps": 5}])
def test_every_variant_keeps_the_rules(name: str, options: dict, tiny: rb.Backbone, images: torch.Tensor) -> None:
    values = check(metric_of(name, **options), tiny, images)
    assert values.min() > 0 and values.max() < 1


class Given:
    """Maps as torch-cam's metrics want an extractor of them."""

    def __init__(self, model: Callable, maps: torch.Tensor) -> None:
        self.model, self._maps = model, maps
        self.fuse_cams, self._hooks_off = lambda cams: cams[0], nullcontext

    def __call__(self, *rest: object) -> list[torch.Tensor]:
        return [self._maps]


def test_torchcam_measures_the_same(tiny_net: torch.nn.Module, tiny: rb.Backbone, images: torch.Tensor) -> None:
    torchcam = pytest.importorskip("torchcam.metrics")
    made = evidence(tiny, images, range(4))
    theirs = torchcam.DeletionInsertionMetric(Given(tiny_net, normalise(made.raw)), lambda logits: logits.softmax(-1))
    theirs.update(images, [0, 1, 2, 3])
    for name, value in theirs.summary().items():
        ours = made.measure(metric_of(name, variant="torch-cam"))
        assert ours.mean().item() == pytest.approx(value, abs=1e-5), name


def test_steps_do_not_go_with_the_49_cells() -> None:
    with pytest.raises(UserError, match="recipro-2024 switch 49 cells; leave out steps, or set another variant"):
        metric_of("insertion_auc", variant="recipro-2024", steps=3)


def test_steps_beyond_the_last_pixel_change_nothing() -> None:
    image, saliency = torch.rand(1, 3, 3, 3), torch.rand(1, 3, 3)
    given = (image, saliency, saliency, image.mean((1, 2, 3)), lambda x, of: x.mean((1, 2, 3)))
    for rule in (insertion_auc, deletion_auc):
        torch.testing.assert_close(rule(*given, steps=9), rule(*given, steps=40))


def test_the_blur_is_nearly_flat() -> None:
    seen = torch.zeros(1, 1, 21, 21)
    seen[0, 0, 10, 10] = 1
    line = blurred(seen)[0, 0].sum(0)[5:16]
    facts = [0.08796, 0.08890, 0.09047, 0.09219, 0.09349, 0.09398, 0.09349, 0.09219, 0.09047, 0.08890, 0.08796]
    np.testing.assert_allclose(line.numpy(), facts, atol=1e-5)
    np.testing.assert_allclose(line.numpy(), rise_kernel(), atol=1e-6)


def test_ties_are_ranked_in_reading_order() -> None:
    assert pixel_ranks(tensor([[[0.5, 0.5], [0.9, 0.5]]])).tolist() == [[[1, 2], [0, 3]]]


def test_a_cell_reaches_one_pixel_into_its_neighbours() -> None:
    ranks = cell_ranks(tensor([[[0.1, 0.9], [0.2, 0.3]]]), (4, 4), 2)[0]
    assert ranks.tolist() == [[3, 3, 0, 0], [3, 3, 0, 0], [2, 2, 0, 0], [2, 2, 1, 1]]


@pytest.mark.parametrize("count", [1, 3, 100])
def test_answers_are_by_image_and_step_however_many_are_made_at_once(count: int) -> None:
    images, made = torch.arange(float(count)).view(-1, 1, 1, 1), []

    def ask(x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        made.append(len(x))
        return x.flatten() + 1000 * rows

    found = answers(ask, count, lambda step: images * step, range(70))
    assert torch.equal(found, torch.arange(count)[:, None] * (torch.arange(70.0) + 1000))
    assert max(made) <= max(64, count) and sum(made) == 70 * count


@pytest.mark.parametrize(("keep", "kept"), [(1.0, 4), (0.5, 2), (0.15, 1), (0.75, 3)])
def test_top_shares_keep_the_highest_values_as_they_are(keep: float, kept: int) -> None:
    saliency, seen = tensor([[[0.25, 0.5], [0.5, 1.0]]]), []

    def ask(x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return tensor([0.1])

    found = top_drop(saliency, tensor([0.4]), lambda maps, rows: maps, ask, keep=keep)
    assert found.item() == pytest.approx(0.75)
    assert sorted(seen[0].flatten().tolist(), reverse=True)[:kept] == [1.0, 0.5, 0.5, 0.25][:kept]
    assert int((seen[0] > 0).sum()) == kept
