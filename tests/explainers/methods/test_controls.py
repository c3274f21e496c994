"""The controls: centre, noise and Fake-CAM."""

import pytest
import torch

import reciprocam_bench as rb
from reciprocam_bench.explainers.forward_pass import forward_pass
from reciprocam_bench.explainers.noise import generators
from reciprocam_bench.protocols.maps import normalise, on_original
from reciprocam_bench.protocols.protocol import Geometry

WHOLE = Geometry(resize="shorter-side", size=224, crop=None, interpolation="bilinear")


@pytest.mark.parametrize(("width", "height"), [(501, 375), (101, 333)])
def test_the_centres_maximum_is_the_centre_of_any_image(tiny, images, width, height):
    maps = normalise(rb.explain(tiny, images, method="center"))
    first = on_original(maps, WHOLE, width, height).flatten(1).argmax(1)
    assert (first == (height // 2) * width + width // 2).all()


def test_noise_is_the_same_for_image_class_and_seed_in_any_batch(tiny, images):
    maps = rb.explain(tiny, images, [0, 1, 2], method="random")
    torch.testing.assert_close(rb.explain(tiny, images[1:2], [1], method="random")[0], maps[1], rtol=0, atol=0)
    for other in (
        rb.explain(tiny, images[1:2], [3], method="random"),
        rb.explain(tiny, images[1:2], [1], method="random", seed=7),
        rb.explain(tiny, images[2:], [1], method="random"),
    ):
        assert (other[0] - maps[1]).abs().max() > 0.05
    assert maps.min() >= 0 and maps.max() <= 1


def test_no_two_methods_and_no_metric_draw_the_same(tiny, images):
    fp = forward_pass(tiny, images)
    drawn = [torch.rand(4, generator=generators(fp, 0, name)[0]) for name in ("random", "sscam", "smoothgradcam++", "")]
    assert len({tuple(values.tolist()) for values in drawn}) == 4


def test_fake_cam_is_one_but_for_the_first_pixel_and_drops_almost_nothing(tiny, images):
    maps = rb.explain(tiny, images, method="ones")
    assert maps.shape == (3, 16, 16)
    assert (maps.sum((1, 2)) == 16 * 16 - 1).all() and (maps[:, 0, 0] == 0).all()
    scores = rb.evaluate(tiny, images, maps, method="fakecam", metrics=("average_drop", "coherency", "complexity"))
    assert scores["average_drop"].max() < 0.02
    torch.testing.assert_close(scores["coherency"], torch.ones(3))
    torch.testing.assert_close(scores["complexity"], torch.full((3,), 255 / 256))
