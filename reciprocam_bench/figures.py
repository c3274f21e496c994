"""Figures of pictures x methods, fit for print: drawn by matplotlib, never through pyplot's global state."""

import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib import patheffects, rc_context
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from reciprocam_bench.config import PicturesConfig
from reciprocam_bench.datasets.dataset import Box
from reciprocam_bench.pictures import Heat, View, overlay

_MOST_COLUMNS = 8
_WIDTH = 2.2  # inches of a panel
_LINE = 0.15  # inches of a line of text
_MOST_STRIPS, _MOST_PIXELS = 20, 100_000_000  # on a page
_FLATTEST, _TALLEST = 0.25, 2.5  # height of a panel over its width; a picture beyond that leaves room at its sides
_FONT, _SMALLEST_FONT = 8.0, 4.0  # points
_LETTER = 0.6  # width of a letter over its height, about
_LETTERS, _CAPTION = 26, 34  # a line of a panel's title, and of what stands under it

# Type 42 is text that journals take and readers can select; a figure made again is the same file.
_PRINT: Any = {"pdf.fonttype": 42, "svg.hashsalt": "rcam-bench"}
_NO_DATE = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}


@dataclass(frozen=True)
class Panel:
    """What one method shows of a picture.

    Attributes:
        title: the method's title.
        heat: its normalised map, ``(H, W)`` on all of the picture; None where there is none.
        caption: scores, or why there are none.
        peak: the map's maximum in the picture's own pixels, (x, y), where it is to be marked.
    """

    title: str
    heat: Heat | None
    caption: str = ""
    peak: tuple[float, float] | None = None


@dataclass(frozen=True)
class Strip:
    """A picture and what each method shows of it, for one class.

    Attributes:
        picture: the picture; it and the maps may be shrunk copies (`panel_pixels` says how far).
        size: width and height of the picture itself, the pixels that the rest is given in.
        caption: the class explained.
        panels: one a method.
        view: what the network saw of the picture.
        boxes: the annotated objects of that class.
        name: what stands above the picture: its file's name.
    """

    picture: Image.Image
    size: tuple[int, int]
    caption: str
    panels: Sequence[Panel]
    view: View | None = None
    boxes: Sequence[Box] = field(default=())
    name: str = "image"


def panel_pixels(style: PicturesConfig) -> tuple[int, int]:
    """Pixels across and down that a panel shows at a style's resolution; more would only make the file larger."""
    return round(_WIDTH * style.dpi), round(_WIDTH * style.dpi * _TALLEST)


def draw(strips: Sequence[Strip], style: PicturesConfig, heading: str = "") -> Figure:
    """One figure of all strips, a row each (of several lines beyond 8 panels), with a colour bar.

    ``heading`` stands above all. Pictures keep their aspect ratio; a dashed line borders what the network saw.
    """
    columns, heights = _columns(strips), [_height(strip) for strip in strips for _ in range(_lines(strip, strips))]
    font = _font(title for strip in strips for title in (_named(strip.name), *(p.title for p in strip.panels)))
    above = wrapped(heading, round(15 * (_WIDTH * columns + 0.8)))
    size = (_WIDTH * columns + 0.8, sum(heights) + 0.1 + (_LINE * (1 + len(above.splitlines())) if heading else 0))
    figure = Figure(figsize=size, dpi=style.dpi, layout="constrained")
    grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
    first = 0
    for strip in strips:
        for place, panel in enumerate([Panel(_named(strip.name), None, strip.caption), *strip.panels]):
            axes = figure.add_subplot(grid[first + place // columns, place % columns])
            _panel(axes, strip, panel, style, font)
        first += _lines(strip, strips)
    bar = ScalarMappable(cmap=style.colormap)
    beside = [axes for axes in figure.axes if axes.get_subplotspec()]
    bar.set_clim(0, 1)
    drawn = figure.colorbar(bar, ax=beside, alpha=style.alpha, aspect=(size[1] - 0.8) / 0.13, pad=0.01, fraction=0.03)
    drawn.ax.tick_params(labelsize=_FONT - 1)
    drawn.set_label("each map, lowest to highest", fontsize=_FONT - 1)
    if heading:
        figure.suptitle(above, fontsize=_FONT, parse_math=False)
    return figure


def save_figure(strips: Sequence[Strip], path: Path, style: PicturesConfig, heading: str = "") -> list[Path]:
    """Draw all strips into ``path`` with the ending of each of the style's formats; returns the files.

    What would be too long goes on in ``path_2``, and so on. Raises ``OSError``.
    """
    written = []
    for number, page in enumerate(_pages(strips, style), 1):
        figure, name = draw(page, style, heading), path.name + (f"_{number}" if number > 1 else "")
        with rc_context(_PRINT), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a name in Chinese is drawn as boxes
            for form in style.formats:
                written.append(path.with_name(f"{name}.{form}"))
                figure.savefig(written[-1], metadata=_NO_DATE.get(form))
    return written


def wrapped(text: str, width: int) -> str:
    """The text in lines of about ``width`` letters, broken at spaces, commas and brackets, never inside a word.

    Bytes of a file's name that are no UTF-8 become question marks, which can be drawn.
    """
    text = text.encode("utf-8", "replace").decode("utf-8")
    lines = [""]
    # "p = 0.98" is one word too.
    for piece in re.findall(r"\n|\[?[^ \n,\[]*,? *", text.replace(" = ", "\u00a0=\u00a0"))[:-1]:
        if piece == "\n" or (lines[-1] and len(lines[-1]) + len(piece.rstrip()) > width):
            lines.append("")
        lines[-1] += "" if piece == "\n" else piece
    return "\n".join(line.rstrip() for line in lines)


def _caption(text: str) -> str:
    """A text under a panel in lines; titles become small where a word is too wide, a class's long name is broken."""
    return wrapped(re.sub(r"\S+", lambda word: _broken(word[0]), text), _CAPTION)


def _broken(word: str) -> str:
    lines = []
    while len(word) > _CAPTION:
        cut = 1 + max(word.rfind(mark, 0, _CAPTION) for mark in ",_/-") or _CAPTION
        lines.append(word[:cut])
        word = word[cut:]
    return "\n".join([*lines, word])


def _columns(strips: Sequence[Strip]) -> int:
    return min(_MOST_COLUMNS, 1 + max(len(strip.panels) for strip in strips))


def _lines(strip: Strip, strips: Sequence[Strip]) -> int:
    return -(-(1 + len(strip.panels)) // _columns(strips))


def _height(strip: Strip) -> float:
    """Inches of the strip's panels, with the most lines that stand above and under one."""
    shape = min(max(strip.size[1] / strip.size[0], _FLATTEST), _TALLEST)
    captions = (_caption(text) for text in (strip.caption, *(panel.caption for panel in strip.panels)))
    above = max(len(wrapped(panel.title, _LETTERS).splitlines()) for panel in strip.panels)
    return _WIDTH * shape + _LINE * (1.5 + above + max(len(caption.splitlines()) for caption in captions))


def _pages(strips: Sequence[Strip], style: PicturesConfig) -> list[list[Strip]]:
    pages: list[list[Strip]] = []
    area = 0.0  # pixels
    for strip in strips:
        inches = _WIDTH * _columns(strips) * _height(strip) * _lines(strip, strips)
        area += inches * style.dpi**2
        if not pages or len(pages[-1]) == _MOST_STRIPS or area > _MOST_PIXELS:
            pages.append([])
            area = inches * style.dpi**2
        pages[-1].append(strip)
    return pages


def _panel(axes: Axes, strip: Strip, panel: Panel, style: PicturesConfig, font: float) -> None:
    shown = strip.picture
    width, height = strip.size
    if panel.heat is not None:
        view = _scaled(strip.view, shown.size[0] / width, shown.size[1] / height)
        shown = overlay(shown, panel.heat, style.alpha, style.colormap, view)
    axes.imshow(shown, extent=(0, width, height, 0), interpolation="nearest" if max(shown.size) < 100 else None)
    if strip.view is not None and _cuts(strip.view, width, height):
        _outline(axes, strip.view, "--")
    for box in strip.boxes:
        _outline(axes, (box.left, box.top, box.right, box.bottom), "-")
    if panel.peak is not None:
        edge = [patheffects.withStroke(linewidth=3.2, foreground="black")]
        mark = axes.plot(*panel.peak, "x", color="white", markersize=7, markeredgewidth=1.6, path_effects=edge)
        mark[0].set_clip_on(False)  # whole at the border, too
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    axes.set_title(wrapped(panel.title, _LETTERS), fontsize=font, parse_math=False)
    axes.set_xlabel(_caption(panel.caption), fontsize=_FONT - 1, parse_math=False)


def _outline(axes: Axes, corners: View, line: str) -> None:
    """White on black, which is seen on any colours."""
    left, top, right, bottom = corners
    for colour, kind, points in (("black", "-", 1.8), ("white", line, 0.9)):
        drawn = Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, ls=kind, lw=points)
        axes.add_patch(drawn)


def _font(titles: Iterable[str]) -> float:
    """A size at which the longest word of the titles fits a panel."""
    longest = max(len(line) for title in titles for line in wrapped(title, _LETTERS).splitlines())
    return max(_SMALLEST_FONT, min(_FONT + 1, _WIDTH * 72 / (_LETTER * max(1, longest))))


def _named(name: str) -> str:
    """A name that fits a line: of a long one the beginning and the end, which tell files of a series apart."""
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS // 2 - 4]}\u2026{name[-(_LETTERS // 2 + 3) :]}"


def _scaled(view: View | None, x: float, y: float) -> View | None:
    return view and (view[0] * x, view[1] * y, view[2] * x, view[3] * y)


def _cuts(view: View, width: int, height: int) -> bool:
    """Whether the view leaves out part of the picture, by half a pixel or more."""
    return view[0] >= 0.5 or view[1] >= 0.5 or view[2] <= width - 0.5 or view[3] <= height - 0.5
