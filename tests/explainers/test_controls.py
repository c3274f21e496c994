"""The controls: centre and noise."""

import pytest
import torch

import reciprocam_bench as rb
from reciprocam_bench.protocols.protocol import Geometry, normalise, on_original

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
