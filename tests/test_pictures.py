"""Pictures: colours where the heat is."""

import numpy as np
import pytest
from PIL import Image

from reciprocam_bench.errors import UserError
from reciprocam_bench.pictures import check_colormap, heat_layer, overlay, shrunk, shrunk_heat


def test_overlay_is_red_where_hot_and_blue_where_cold():
    heat = np.zeros((10, 20))
    heat[:, 10:] = 1
    mixed = np.asarray(overlay(Image.new("RGB", (20, 10), "grey"), heat)).astype(int)
    cold, hot = mixed[5, 2], mixed[5, 17]
    assert cold[2] > cold[0] + 20 and hot[0] > hot[2] + 20


def test_overlay_clips_values_outside_the_range():
    picture = Image.new("RGB", (4, 4))
    assert overlay(picture, np.full((4, 4), 7.0)).tobytes() == overlay(picture, np.ones((4, 4))).tobytes()
    assert overlay(picture, np.full((4, 4), np.nan)).tobytes() == overlay(picture, np.zeros((4, 4))).tobytes()


def test_opacity_goes_from_the_picture_to_the_colours():
    picture, heat = Image.new("RGB", (2, 2), (10, 200, 30)), np.ones((2, 2))
    assert overlay(picture, heat, strength=0).tobytes() == picture.tobytes()
    assert overlay(picture, heat, strength=1, colormap="gray").getpixel((0, 0)) == (255, 255, 255)


def test_the_picture_stays_plain_where_the_network_did_not_look():
    picture = Image.new("RGB", (6, 4), (10, 200, 30))
    mixed = np.asarray(overlay(picture, np.ones((4, 6)), view=(1.0, -1.0, 4.4, 5.0)))
    changed = (mixed != np.asarray(picture)).any(-1)
    assert changed.tolist() == [[False, True, True, True, False, False]] * 4


def test_a_map_alone_is_transparent_where_it_is_cold():
    layer = heat_layer(np.array([[0.0, 1.0, np.nan]]))
    assert (layer.mode, layer.size) == ("RGBA", (3, 1))
    assert [layer.getpixel((x, 0))[3] for x in range(3)] == [0, 255, 0]
    assert layer.getpixel((1, 0))[0] > layer.getpixel((1, 0))[2]


def test_shrinking_keeps_the_aspect_ratio_and_never_enlarges():
    assert shrunk(Image.new("RGB", (400, 100)), (100, 50)).size == (100, 25)
    assert shrunk(Image.new("RGB", (1000, 2)), (100, 50)).size == (100, 1)
    assert shrunk(Image.new("RGB", (40, 10)), (100, 50)).size == (40, 10)
    assert shrunk(Image.new("RGB", (100, 400)), (100, 200)).size == (50, 200)
    heat = np.zeros((100, 400))
    heat[:, 200:] = 1
    small = shrunk_heat(heat, (100, 50))
    assert small.shape == (25, 100) and small[:, :50].max() == 0 and small[:, 50:].min() == 1


def test_a_misspelt_colour_map_is_a_mistake():
    check_colormap("viridis", "--colormap")
    with pytest.raises(UserError, match=r"^--colormap: unknown colour map 'viridas'; did you mean 'viridis'\?"):
        check_colormap("viridas", "--colormap")
