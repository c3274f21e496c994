"""Small steps around `explain`: a map on the picture it was made of."""

import numpy as np
import pytest
import torch
from PIL import Image

import reciprocam_bench as rb


def test_an_overlay_leaves_plain_what_the_crop_cut_off(tiny: rb.Backbone) -> None:
    picture, cam = Image.new("RGB", (320, 256), (10, 200, 30)), torch.eye(4)
    changed = np.asarray(rb.overlay(tiny, picture, cam, colormap="viridis")) != np.asarray(picture)
    rows, columns = changed.any((1, 2)).nonzero()[0], changed.any((0, 2)).nonzero()[0]
    # The shorter side becomes 256, of which the middle 224 are seen.
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (16, 239, 48, 271)
    heat = rb.on_picture(tiny, picture, cam)
    assert heat.shape == (256, 320) and heat[:16].max() == 0 and heat[16, 48] == 1


def test_an_overlay_in_colours_that_there_are_not_is_a_mistake(tiny: rb.Backbone) -> None:
    with pytest.raises(rb.UserError, match=r"colormap: unknown colour map 'jett'; did you mean 'jet'\?"):
        rb.overlay(tiny, Image.new("RGB", (320, 256)), torch.eye(4), colormap="jett")
