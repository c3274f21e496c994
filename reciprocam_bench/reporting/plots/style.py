"""How plots look, how they are saved, and how they stand in a page."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reciprocam_bench.errors import UserError
from reciprocam_bench.runfolder.disk import write_into

# Okabe and Ito's colours, told apart by all kinds of eyes, on white and on black; without black and yellow.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#8a8a8a"
INK = "#1b1b1e"  # in a page the colour of its text

# What to do where a page or its plots cannot be written.
CURE = "free the disk, or copy the run folder to where it can be written"

_STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GREY,
    "grid.alpha": 0.25,
    "axes.axisbelow": True,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "svg.hashsalt": "rcam-bench",
}
_MANY = 14  # methods: beyond, panels stand in one line, as wide as the page
_WIDE = 8.0  # inches
_LETTERS, _LETTER = 56, 0.085  # of a name at most, and the inches of one
_SIZE = re.compile(r' (?:width|height)="[\d.]+pt"')
_IDS = re.compile(r'(\bid="|url\(#|href="#)')


PlotName = Literal["trade", "metrics", "differences", "distributions", "curves", "agreement", "rounds"]
PLOT_NAMES = get_args(PlotName)


@dataclass(frozen=True)
class Plot:
    """A figure with a name for its files, a title, and what its caption must say to be read rightly."""

    name: PlotName
    title: str
    caption: str
    figure: Figure

    @property
    def wide(self) -> bool:
        """Whether it needs the whole width of a page."""
        return self.figure.get_figwidth() > _WIDE

    @cached_property
    def svg(self) -> str:
        """The figure as SVG, drawn once: to draw is what a page takes its time for."""
        buffer = io.StringIO()
        with styled():
            self.figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
        return buffer.getvalue()


def styled() -> Any:
    """The context in which figures are made and saved."""
    return rc_context(_STYLE)


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches; never through pyplot's global state."""
    return Figure(figsize=(width, height), layout="constrained")


def panels(count: int, methods: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """Axes side by side whose rows are the methods, the first on top; names stand at the left alone."""
    columns = min(count, 2 if len(methods) <= _MANY else 5)
    lines = -(-count // columns)
    names = names_beside(methods)
    figure = new_figure(2.4 + 2.3 * columns + room_for(names), lines * (0.26 * max(len(methods), 2) + 0.75))
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
    axes = list(grid.ravel())
    for spare in axes[count:]:
        spare.set_axis_off()
    rows = range(len(methods))
    axes[0].set_ylim(len(methods) - 0.5, -0.5)
    axes[0].set_yticks(rows)
    axes[0].set_yticklabels(names, parse_math=False)
    for one in axes:
        one.tick_params(axis="y", length=0)
        one.grid(visible=False, axis="y")
    return figure, axes[:count]


def names_beside(names: Sequence[str]) -> list[str]:
    """Names as they stand beside an axis: of a long one the beginning and the end, numbered where two are alike."""
    cut = [n if len(n) <= _LETTERS else f"{n[: _LETTERS * 2 // 3]}\u2026{n[-_LETTERS // 3 :]}" for n in names]
    return [f"{name} ({place + 1})" if cut.count(name) > 1 else name for place, name in enumerate(cut)]


def room_for(names: Sequence[str], usual: int = 28) -> float:
    """Inches that names need beside what is there for those of a usual number of letters."""
    return _LETTER * max([0, *(len(name) - usual for name in names)])


def look(place: int) -> dict[str, Any]:
    """Colour, marker and its filling of the method at a place of a list: 14 that differ without colour, 42 with it."""
    colour = COLOURS[place % len(COLOURS)]
    fill = "none" if place // len(MARKERS) % 2 else colour
    return {"color": colour, "marker": MARKERS[place % len(MARKERS)], "markerfacecolor": fill}


def name_lines(figure: Figure, axes: Axes, **where: Any) -> None:
    """A legend of the axes' lines, whose labels are `in_legend`; not read as formulas."""
    for text in figure.legend(*axes.get_legend_handles_labels(), fontsize=8, **where).get_texts():
        text.set_parse_math(False)


def in_legend(name: str) -> str:
    """A method's name as a legend shows it: one that begins with ``_`` matplotlib would leave out."""
    return f" {name}" if name.startswith("_") else name


def save(plot: Plot, folder: Path, name: str) -> None:
    """Write the plot as PNG and SVG. Raises ``UserError`` where it cannot be written."""
    with styled():
        drawn = io.BytesIO()
        plot.figure.savefig(drawn, format="png", dpi=160)
    write_into(folder, f"{name}.svg", plot.svg, CURE)
    path = folder / f"{name}.png"
    try:
        path.write_bytes(drawn.getvalue())
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}; {CURE}") from None


def inline(plot: Plot, prefix: str) -> str:
    """The plot as an SVG element for a page: in the colour of its text, ids begun with ``prefix``, as wide as fits."""
    text = plot.svg[plot.svg.index("<svg") :]
    widest = f'<svg style="max-width: {7 * plot.figure.get_figwidth():.0f}rem"'
    text = widest + _SIZE.sub("", text, count=2).removeprefix("<svg")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    return _IDS.sub(rf"\1{prefix}-", text.replace(INK, "currentColor"))
