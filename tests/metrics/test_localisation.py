"""Metrics of localisation on maps and objects worked out by hand, and against plain NumPy loops."""

import math

import numpy as np
import pytest
import torch

from reciprocam_bench.datasets.dataset import Box, Target
from reciprocam_bench.metrics.measures.box_accuracy import box_accuracy, iou
from reciprocam_bench.metrics.measures.energy_pointing_game import energy_pointing_game
from reciprocam_bench.metrics.measures.max_box_acc import max_box_acc, max_box_acc_v2
from reciprocam_bench.metrics.measures.pointing_game import pointing_game, pointing_game_box, pointing_game_mask
from reciprocam_bench.metrics.measures.relevance_rank_accuracy import relevance_rank_accuracy
from reciprocam_bench.metrics.scenes import Scenes
from reciprocam_bench.protocols.protocol import Geometry


def _peak(y, x, height=60, width=80):
    located = torch.zeros(1, height, width)
    located[0, y, x] = 1
    return located


def _pixel(y, x, height=60, width=80):
    return _peak(y, x, height, width).bool()


@pytest.mark.parametrize(
    ("dy", "dx", "hit"),
    [
        (0, 0, 1),
        (0, 14, 1),
        (0, 15, 0),  # exactly 15 px is too far
        (9, 12, 0),  # 15 again
        (5, 14, 1),  # 14.87
        (8, 12, 1),  # 14.42
        (10, 12, 0),  # 15.62
        (-5, -14, 1),
    ],
)
def test_torchray_tolerance_is_strictly_below_15_pixels(dy, dx, hit):
    assert pointing_game(_peak(30, 40), _pixel(30 + dy, 40 + dx)).item() == hit


@pytest.mark.parametrize(("y", "x"), [(0, 0), (59, 79), (0, 79), (59, 0)])
def test_torchray_rule_at_the_image_border_does_not_wrap_around(y, x):
    assert pointing_game(_peak(y, x), _pixel(y, x)).item() == 1
    assert pointing_game(_peak(y, x), _pixel(59 - y, 79 - x)).item() == 0


def test_torchray_counts_the_first_of_tied_maxima_and_the_others_count_any():
    located = _peak(5, 5)
    located[0, 50, 70] = 1
    late = _pixel(50, 70)
    assert pointing_game(located, late).item() == 0
    assert pointing_game_box(located, late).item() == 1
    assert pointing_game_mask(located, late).item() == 1


def test_box_and_mask_rules_have_no_tolerance():
    assert pointing_game_box(_peak(30, 40), _pixel(30, 41)).item() == 0
    assert pointing_game_mask(_peak(30, 40), _pixel(30, 41)).item() == 0


@pytest.mark.parametrize("rule", [pointing_game, pointing_game_box, pointing_game_mask])
def test_an_empty_mask_is_a_miss(rule):
    assert rule(_peak(3, 3), torch.zeros(1, 60, 80, dtype=torch.bool)).item() == 0


def test_pointing_rule_agrees_with_a_plain_distance_loop():
    rng = np.random.default_rng(0)
    located = torch.from_numpy(rng.random((40, 33, 47), dtype=np.float32))
    objects = torch.from_numpy(rng.random((40, 33, 47)) > 0.998)
    expected = []
    for m, o in zip(located.numpy(), objects.numpy(), strict=True):
        y, x = divmod(int(m.argmax()), m.shape[1])
        distances = [math.hypot(y - a, x - b) for a, b in zip(*np.nonzero(o), strict=True)]
        expected.append(float(bool(distances) and min(distances) < 15))
    assert pointing_game(located, objects).tolist() == expected
    assert 0 < sum(expected) < 40


def test_energy_is_the_share_of_mass_on_the_object():
    located = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]]])
    objects = torch.tensor([[[True, False], [False, True]], [[True, True], [True, True]]])
    assert energy_pointing_game(located, objects).tolist() == [0.5, 0.0]


def test_energy_agrees_with_a_plain_loop():
    rng = np.random.default_rng(1)
    located = rng.random((6, 21, 34), dtype=np.float32)
    objects = rng.random((6, 21, 34)) > 0.7
    expected = []
    for m, o in zip(located, objects, strict=True):
        on = sum(float(m[y, x]) for y in range(21) for x in range(34) if o[y, x])
        expected.append(on / float(m.astype(np.float64).sum()))
    found = energy_pointing_game(torch.from_numpy(located), torch.from_numpy(objects))
    assert found.tolist() == pytest.approx(expected, abs=1e-5)


def test_rank_accuracy_counts_as_many_pixels_as_the_object_has():
    located = torch.tensor([[[0.9, 0.8, 0.1], [0.7, 0.2, 0.0]]])
    objects = torch.tensor([[[True, False, False], [True, True, False]]])
    assert relevance_rank_accuracy(located, objects).item() == pytest.approx(2 / 3)


def test_rank_accuracy_of_an_empty_mask_is_zero():
    assert relevance_rank_accuracy(torch.rand(1, 3, 3), torch.zeros(1, 3, 3, dtype=torch.bool)).item() == 0


def test_iou_by_hand():
    assert iou(Box(0, 0, 4, 4), Box(2, 2, 6, 6)) == pytest.approx(4 / 28)
    assert iou(Box(0, 0, 4, 4), Box(4, 0, 8, 4)) == 0


def test_box_accuracy_boxes_the_largest_region_at_each_threshold():
    located = torch.zeros(1, 20, 20)
    located[0, 2:12, 2:12] = 0.62  # the object: a threshold of 0.6 finds it
    located[0, 15:18, 15:18] = 1.0  # a small bright spot: above 0.62 only that is left
    hits = box_accuracy(located, [[Box(2, 2, 12, 12)]])[0]
    assert hits.shape == (19,)
    assert hits[:12].tolist() == [1.0] * 12 and hits[12:].tolist() == [0.0] * 7


def test_box_accuracy_takes_the_best_of_several_boxes_and_of_none_nothing():
    located = torch.zeros(2, 10, 10)
    located[:, 1:5, 1:5] = 1
    hits = box_accuracy(located, [[Box(7, 7, 9, 9), Box(1, 1, 5, 5)], []])
    assert hits[0].eq(1).all() and hits[1].eq(0).all()


def reference(cam: np.ndarray, boxes: list[tuple[int, ...]], every: bool) -> np.ndarray:
    """Best IoU at each of 1,000 thresholds, as wsolevaluation codes it."""
    cv2 = pytest.importorskip("cv2")
    cam = cv2.resize(cam, (224, 224), interpolation=cv2.INTER_CUBIC)
    scored = ((cam - cam.min()) / (cam.max() - cam.min()) * 255).astype(np.uint8)
    best = []
    for threshold in np.arange(0, 1, 0.001):
        bright = np.uint8(255) * (scored > int(threshold * scored.max()))
        contours = cv2.findContours(bright, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[-2]
        if not every and contours:
            contours = [max(contours, key=cv2.contourArea)]
        found = [0.0]
        for x, y, w, h in map(cv2.boundingRect, contours):
            right, bottom = min(x + w, 223), min(y + h, 223)
            for left, top, end, low in boxes:
                across = max(0, min(right, end) - max(x, left) + 1)
                both = across * max(0, min(bottom, low) - max(y, top) + 1)
                areas = (right - x + 1) * (bottom - y + 1) + (end - left + 1) * (low - top + 1)
                found.append(both / (areas - both))
        best.append(max(found))
    return np.array(best)


@pytest.mark.parametrize("seed", range(3))
def test_max_box_acc_is_that_of_the_reference_at_all_its_thresholds(seed):
    maps = torch.rand(2, 7, 7, generator=torch.Generator().manual_seed(seed))
    pixels = [[(30, 40, 120, 200)], [(5, 5, 60, 60), (100, 90, 210, 180)]]
    boxes = [[Box(*(edge / 224 for edge in box)) for box in of_image] for of_image in pixels]
    one, every = max_box_acc(maps, boxes), max_box_acc_v2(maps, boxes).view(2, 3, 255)
    levels = [int(threshold * 255) for threshold in np.arange(0, 1, 0.001)]
    assert sorted(set(levels)) == list(range(255))
    for cam, of_image, first, second in zip(maps.numpy(), pixels, one, every, strict=True):
        assert first[levels].tolist() == (reference(cam, of_image, every=False) >= 0.5).tolist()
        best = reference(cam, of_image, every=True)
        assert second[:, levels].tolist() == [(best >= overlap).tolist() for overlap in (0.3, 0.5, 0.7)]


def test_boxes_are_seen_through_resize_and_crop():
    # 100x50: the shorter side becomes 224, the middle 224 of 448 columns are seen: 25 to 75 of the image's own.
    geometry = Geometry(resize="shorter-side", size=224, crop=224, interpolation="bilinear")
    target = Target("dog", 0, (Box(30, 10, 80, 50), Box(0, 0, 25, 50)), (100, 50))
    ((_, group),) = Scenes([target], [(100, 50)], geometry).by_size()
    (seen,) = group.annotated(torch.zeros(1, 50, 100), geometry).seen_boxes
    assert seen == [Box(0.1, 0.2, 1.0, 1.0)]


def test_batches_are_loops():
    located, objects = torch.rand(5, 30, 40), torch.rand(5, 30, 40) > 0.9
    for function in (
        pointing_game,
        pointing_game_box,
        pointing_game_mask,
        energy_pointing_game,
        relevance_rank_accuracy,
    ):
        single = torch.cat([function(located[i : i + 1], objects[i : i + 1]) for i in range(5)])
        torch.testing.assert_close(function(located, objects), single)
