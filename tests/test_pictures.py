"""Pictures: colours where the heat is."""

import numpy as np
from PIL import Image

from reciprocam_bench.pictures import overlay, sheet


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


def test_sheet_has_a_panel_for_the_image_and_each_method():
    figure = sheet(Image.new("RGB", (8, 8)), "tench", {"cam": np.eye(8), "gradcam": np.eye(8)}, {"cam": "constant"})
    assert [a.get_title() for a in figure.axes] == ["image", "cam", "gradcam"]
    assert figure.axes[1].get_xlabel() == "constant"


def test_many_methods_are_shown_in_rows():
    heats = {f"method{n}": np.eye(8) for n in range(20)}
    few, many = (sheet(Image.new("RGB", (8, 8)), "tench", some, {}) for some in ({"cam": np.eye(8)}, heats))
    assert len(many.axes) == 21
    assert many.get_figwidth() == 4 * few.get_figwidth() and many.get_figheight() > 2 * few.get_figheight()
