"""Figures: what stands where, on how many pages, in which formats."""

import re
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from reciprocam_bench.config import PicturesConfig
from reciprocam_bench.datasets.dataset import Box
from reciprocam_bench.figures import Panel, Strip, draw, panel_pixels, save_figure, wrapped

STYLE = PicturesConfig.model_validate({"dpi": 40})


def strip(methods: list[str], size: tuple[int, int] = (60, 40), **about: object) -> Strip:
    panels = [Panel(name, np.linspace(0, 1, size[0] * size[1]).reshape(size[::-1]), f"of {name}") for name in methods]
    about = {"view": None, "boxes": [], "caption": "explained: tench (p = 0.980)", **about}
    return Strip(Image.new("RGB", size, "grey"), size, panels=panels, **about)


def style(**changes: object) -> PicturesConfig:
    return STYLE.model_copy(update=changes)


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.get_subplotspec() and axes.get_title()]


def test_a_figure_has_a_row_for_each_picture_and_a_colour_bar() -> None:
    long = "ILSVRC2012_val_00000293_of_many.JPEG"
    strips = [strip(["cam", "gradcam"]), strip(["cam", "gradcam"], (40, 60), name=long)]
    figure = draw(strips, STYLE, "resnet\nrandom weights")
    assert titles(figure) == ["image", "cam", "gradcam", "ILSVRC201\u2026293_of_many.JPEG", "cam", "gradcam"]
    assert [axes.get_xlabel() for axes in figure.axes[1:3]] == ["of cam", "of gradcam"]
    assert figure.axes[0].get_xlabel() == "explained: tench (p\u00a0=\u00a00.980)"
    assert "lowest to highest" in figure.axes[-1].get_ylabel()
    assert figure.get_suptitle() == "resnet\nrandom weights"


@pytest.mark.parametrize("size", [(60, 40), (40, 60), (300, 3)])
def test_pictures_keep_their_aspect_ratio(size: tuple[int, int]) -> None:
    figure = draw([strip(["cam"], size)], STYLE)
    figure.draw_without_rendering()
    for axes in figure.axes[:2]:
        shown = axes.get_window_extent()
        assert shown.width / shown.height == pytest.approx(size[0] / size[1], rel=0.02)


def test_many_methods_are_shown_in_lines_of_eight() -> None:
    few, many = (draw([strip([f"m{n}" for n in range(count)])], STYLE) for count in (1, 20))
    assert len(titles(many)) == 21
    assert many.get_figwidth() > 3 * few.get_figwidth() and many.get_figheight() > 2 * few.get_figheight()


def test_boxes_the_border_of_the_crop_and_the_maximum_are_drawn_in_the_pictures_pixels() -> None:
    marked = Panel("cam", np.eye(40, 60), "", peak=(12.5, 7.5))
    seen, box = (10.0, 0.0, 50.0, 40.0), Box(5, 6, 25, 30)
    figure = draw([Strip(Image.new("RGB", (60, 40)), (60, 40), "", [marked], seen, [box])], STYLE)
    for axes in figure.axes[:2]:
        drawn = {(*p.get_xy(), p.get_width(), p.get_height()) for p in axes.patches if isinstance(p, Rectangle)}
        assert drawn == {(10, 0, 40, 40), (5, 6, 20, 24)}
    assert [line.get_xydata().tolist() for line in figure.axes[1].lines] == [[[12.5, 7.5]]]
    assert not figure.axes[0].lines


def test_a_view_of_the_whole_picture_has_no_border() -> None:
    assert not draw([strip(["cam"], view=(0.0, -0.2, 60.0, 40.0))], STYLE).axes[0].patches


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("reciprocam[mask=gaussian]", ["reciprocam[mask=gaussian]"]),
        ("torchcam:SmoothGradCAMpp[num_samples=4,std=0.3]", ["torchcam:SmoothGradCAMpp", "[num_samples=4,std=0.3]"]),
        ("smoothgradcamplusplusofsomebodyelse", ["smoothgradcamplusplusofsomebodyelse"]),
        ("constant; error in adcc: no luck at all", ["constant; error in adcc:", "no luck at all"]),
        ("one\ntwo", ["one", "two"]),
        ("", [""]),
    ],
)
def test_lines_do_not_break_inside_a_word(text: str, lines: list[str]) -> None:
    assert wrapped(text, 26).split("\n") == lines


def test_a_long_name_is_made_to_fit_its_panel() -> None:
    name = "smoothgradcamplusplusofsomebodyelse"
    figure = draw([strip(["cam", name, "gradcam"])], style(dpi=100))
    figure.draw_without_rendering()
    boxes = [axes.title.get_window_extent() for axes in figure.axes[:4]]
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))


@pytest.mark.parametrize(
    "name", ["pneumonoultramicroscopicsilicovolcanoconiosis_of_the_lung", "e" * 70, "a_long-name/" * 6]
)
def test_a_long_name_of_a_class_stays_under_its_picture(name: str) -> None:
    figure = draw([strip(["cam"], caption=f"explained: {name} (class 3)")], style(dpi=100))
    figure.draw_without_rendering()
    first, second = (axes.xaxis.label.get_window_extent() for axes in figure.axes[:2])
    assert first.x0 >= 0 and first.x1 < second.x0 and first.y0 >= 0
    assert figure.axes[0].get_xlabel().replace("\n", "").replace(" ", "") == f"explained:{name}(class3)"


def test_a_figure_is_written_in_each_format_and_is_the_same_file_again(tmp_path: Path) -> None:
    wanted = style(formats=["png", "pdf", "svg"])
    files = save_figure([strip(["cam"])], tmp_path / "a.b", wanted, "resnet")
    assert [file.name for file in files] == ["a.b.png", "a.b.pdf", "a.b.svg"]
    png, pdf, svg = (file.read_bytes() for file in files)
    assert png[:4] == b"\x89PNG" and pdf[:5] == b"%PDF-" and b"<svg" in svg
    assert b"/Type3" not in pdf  # a kind of font that journals refuse
    again = save_figure([strip(["cam"])], tmp_path / "again", wanted, "resnet")
    assert [file.read_bytes() for file in again] == [png, pdf, svg]


def test_resolution_is_pixels_an_inch(tmp_path: Path) -> None:
    sizes = []
    for dpi in (40, 80):
        (file,) = save_figure([strip(["cam"])], tmp_path / f"{dpi}", style(dpi=dpi))
        sizes.append(Image.open(file).size)
    assert sizes[1] == pytest.approx([2 * side for side in sizes[0]], abs=2)
    assert panel_pixels(style(dpi=40)) == (88, 220) and panel_pixels(style(dpi=80)) == (176, 440)


def test_a_long_figure_goes_on_on_further_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reciprocam_bench.figures._MOST_STRIPS", 4)
    files = save_figure([strip(["cam"])] * 9, tmp_path / "figure", style(dpi=30))
    assert [file.name for file in files] == ["figure.png", "figure_2.png", "figure_3.png"]
    heights = [Image.open(file).height for file in files]
    assert heights[0] == heights[1] > 2 * heights[2]


def test_an_svg_holds_its_text(tmp_path: Path) -> None:
    (file,) = save_figure([strip(["cam"])], tmp_path / "a", style(formats=["svg"]), "two < three & $x$")
    assert re.search(r"two &lt; three &amp; \$x\$", file.read_text("utf-8"))


def test_a_name_that_no_font_can_draw_is_drawn_nevertheless(tmp_path: Path) -> None:
    names = [f"{name}.jpg" for name in ("caf\udce9", "\u732b", "\U0001f408")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in names:
            files = save_figure([strip([name], name=name)], tmp_path / "a", style(formats=["png", "svg"]), name)
            assert all(file.stat().st_size for file in files)
    assert titles(draw([strip(["cam"], name=names[0])], STYLE)) == ["caf?.jpg", "cam"]
