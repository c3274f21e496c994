"""Annotated objects in the frame of the network's input."""

import numpy as np
import pytest
import torch

from reciprocam_bench.datasets.dataset import Box, Target
from reciprocam_bench.metrics.scenes import Scenes
from reciprocam_bench.protocols.protocol import Geometry


def geometry(size, crop=None, resize="shorter-side"):
    return Geometry(resize=resize, size=size, crop=crop, interpolation="bilinear")


def target(*corners, drawn_on):
    return Target("dog", 0, (Box(*corners),), drawn_on)


def seen(found, geometry, height, width):
    return Scenes([found], [found.drawn_on], geometry).objects(height, width)[0]


def test_an_image_that_is_not_resized_keeps_its_mask():
    expected = torch.zeros(6, 8)
    expected[1:4, 2:7] = 1
    assert torch.equal(seen(target(2, 1, 7, 4, drawn_on=(8, 6)), geometry(6), 6, 8), expected)


def test_a_pixel_has_the_share_that_the_object_covers():
    found = seen(target(0, 0, 3, 2, drawn_on=(8, 8)), geometry(4), 4, 4)
    expected = torch.zeros(4, 4)
    expected[0, :2] = torch.tensor([1.0, 0.5])
    torch.testing.assert_close(found, expected)


def test_a_crop_cuts_and_padding_is_empty():
    whole = target(0, 0, 8, 8, drawn_on=(8, 8))
    corner = seen(target(0, 0, 3, 3, drawn_on=(8, 8)), geometry(8, crop=4), 4, 4)  # the crop begins at 2
    assert corner.sum() == 1 and corner[0, 0] == 1
    padded = seen(whole, geometry(8, crop=12), 12, 12)
    assert padded.sum() == 64 and padded[2:10, 2:10].min() == 1


@pytest.mark.parametrize("geometry_", [geometry(32, crop=28), geometry(24, resize="squash"), geometry(90, crop=80)])
def test_areas_agree_with_many_small_points(geometry_):
    """Sixteen points a pixel, each looked up where the network saw it."""
    found = target(5, 9, 33, 21, drawn_on=(50, 40))
    height = width = geometry_.crop or 24
    left, top, right, bottom = geometry_.view(50, 40)
    fine = (np.arange(16 * width) + 0.5) / (16 * width)
    x, y = left + fine * (right - left), top + fine * (bottom - top)
    inside = ((y >= 9) & (y < 21))[:, None] & ((x >= 5) & (x < 33))[None]
    expected = inside.reshape(height, 16, width, 16).mean((1, 3))
    np.testing.assert_allclose(seen(found, geometry_, height, width).numpy(), expected, atol=0.09)


def test_each_image_has_its_own_and_what_is_not_annotated_is_not_known():
    targets = [target(0, 0, 4, 4, drawn_on=(8, 8)), None, target(0, 0, 10, 10, drawn_on=(20, 10))]
    found = Scenes(targets, [(8, 8), (9, 9), (20, 10)], geometry(8, resize="squash")).objects(8, 8)
    assert found[0].sum() == 16 and found[1].isnan().all() and found[2].sum() == pytest.approx(32)
