"""Small steps around `explain`: a map on the picture it was made of."""

from dataclasses import replace
from pathlib import Path

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


def test_pictures_of_any_mode_are_prepared_as_files_are(tiny: rb.Backbone, tmp_path: Path) -> None:
    deep = Image.fromarray(np.linspace(0, 4000, 256 * 256, dtype=np.uint16).reshape(256, 256))
    clear = Image.new("RGBA", (256, 256), (0, 0, 0, 0))
    for name, picture in (("deep.png", deep), ("clear.png", clear)):
        picture.save(tmp_path / name)
        with Image.open(tmp_path / name) as opened:
            mine = rb.preprocess(tiny, [opened])
            assert torch.equal(mine, rb.preprocess(tiny, [rb.read_picture(tmp_path / name)]))
            shown = rb.overlay(tiny, opened, torch.eye(4), strength=0)
        assert np.array_equal(np.asarray(shown), np.asarray(rb.read_picture(tmp_path / name)))


def test_pictures_that_cannot_be_prepared_are_told(tiny: rb.Backbone) -> None:
    picture = Image.new("RGB", (320, 256))
    for given in ([], picture):
        with pytest.raises(rb.UserError, match="preprocess takes a list of pictures"):
            rb.preprocess(tiny, given)
    with pytest.raises(rb.UserError, match="a picture cannot be prepared: extreme sides"):
        rb.preprocess(tiny, [Image.new("L", (1, 30000))])
    four = replace(tiny, preprocessing=rb.Preprocessing((0.0,) * 4, (1.0,) * 4, 16, 16))
    with pytest.raises(rb.UserError, match="a network of 4 channels takes tensors alone"):
        rb.preprocess(four, [picture])
    for wrong in ({"interpolation": "lanczos"}, {"resize": 0}, {"crop": -1}):
        with pytest.raises(rb.UserError, match=r"^preprocessing: "):
            rb.Preprocessing(**wrong)
    with pytest.raises(rb.UserError, match="come to 2 sizes under torchray-2019"):
        rb.preprocess(tiny, [picture, picture.rotate(90, expand=True)], protocol="torchray-2019")
