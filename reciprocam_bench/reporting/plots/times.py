"""Plots of how long maps take, and of what they give for it."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

from reciprocam_bench.reporting.plots.style import (
    BLUE,
    GREY,
    ORANGE,
    Plot,
    in_legend,
    look,
    name_lines,
    names_beside,
    new_figure,
    panels,
    room_for,
    styled,
)
from reciprocam_bench.runfolder.schema import FORWARD, SCOPES, MetricDefinition

_END_TO_END = SCOPES[1]
_MOST_NAMES = 6


def trade_plot(summary: pd.DataFrame, timing: pd.DataFrame, metric: str, definition: MetricDefinition) -> Plot | None:
    """A metric against the time of one call, with the front of what nothing else beats in both."""
    timed = timing[(timing["scope"] == _END_TO_END) & timing["median_ms"].notna()]
    timed = timed[timed["batch_size"] == timed["batch_size"].min()]
    both = summary.merge(timed.drop_duplicates("method"), on="method", suffixes=("", "_timed")).dropna(subset=[metric])
    if len(both) < 2:
        return None
    up = definition.higher_is_better is not False
    front = front_of(both["median_ms"].to_numpy(float), both[metric].to_numpy(float), up)
    with styled():
        figure = new_figure(7.2, max(3.6, 0.22 * len(both) + 1))
        axes = figure.subplots()
        axes.step(*front, where="post", color=GREY, linewidth=1, linestyle="--", label="Pareto front")
        for place, row in enumerate(both.to_dict("records")):
            x, y = row["median_ms"], row[metric]
            style = look(place)
            axes.hlines(y, row["q25_ms"], row["q75_ms"], color=style["color"], linewidth=1)
            axes.vlines(x, row[f"{metric}_low"], row[f"{metric}_high"], color=style["color"], linewidth=1)
            axes.plot(x, y, linestyle="none", label=in_legend(row["method"]), markersize=6.5, alpha=0.85, **style)
        _logarithmic(axes, both["median_ms"])
        size = int(both["batch_size"].iloc[0])
        axes.set_xlabel(f"median milliseconds a call of {size} image{'s' * (size > 1)}, end to end (log)")
        axes.set_ylabel(f"{definition.title}, percent", parse_math=False)
        name_lines(figure, axes, loc="outside right upper")
    better = "higher" if up else "lower"
    missing = [name for name in summary["method"] if name not in set(both["method"])]
    unjudged = [str(name) for name in dict.fromkeys(timed["method"]) if name not in {FORWARD, *summary["method"]}]
    caption = f"Further left is faster, {better} is better; the dashed line joins what no other method beats in both. "
    caption += (
        "Upright lines: 95 % intervals; level lines: quartiles of the calls. The value axis does not begin at zero."
    )
    if missing:
        caption += f" Not timed: {', '.join(missing) if len(missing) <= _MOST_NAMES else f'{len(missing)} methods'}."
    if unjudged:
        caption += f" Timed, but not judged: {', '.join(unjudged)}."
    return Plot("trade", f"{definition.title} against time", caption, figure)


def rounds_plot(rounds: pd.DataFrame) -> Plot | None:
    """Every measured call of the smallest batch size, a row a method."""
    part = rounds[rounds["scope"].isin([FORWARD, _END_TO_END])]
    part = part[part["batch_size"] == part["batch_size"].min()]
    if part.empty:
        return None
    methods = list(dict.fromkeys(part["method"]))
    with styled():
        figure, (axes,) = panels(1, methods)
        figure.set_figwidth(7.2 + room_for(names_beside(methods)))
        for place, method in enumerate(methods):
            calls = part.loc[part["method"] == method, "wall_ms"].to_numpy(float)
            shift = np.linspace(-0.28, 0.28, len(calls)) if len(calls) > 1 else np.zeros(1)
            axes.plot(calls, place + shift, ".", color=BLUE, markersize=6, alpha=0.8)
            axes.vlines(np.median(calls), place - 0.35, place + 0.35, color=ORANGE, linewidth=1.6)
        _logarithmic(axes, part["wall_ms"])
        axes.set_xlabel("milliseconds a call (log)")
    caption = (
        "Each dot is one measured call, from the first round (top of its row) to the last; the line is the median. "
        f"'{FORWARD}' is the network alone. A drift from top to bottom, or two clouds, tells of other work on the "
        "machine."
    )
    return Plot("rounds", "Timing rounds", caption, figure)


def front_of(times: np.ndarray, values: np.ndarray, up: bool) -> tuple[list[float], list[float]]:
    """The points that no other beats in both, the fastest first; the last value once more at the longest time."""
    x: list[float] = []
    y: list[float] = []
    for place in np.lexsort((-values if up else values, times)):
        if not y or (values[place] > y[-1] if up else values[place] < y[-1]):
            x.append(float(times[place]))
            y.append(float(values[place]))
    return [*x, float(times.max())], [*y, y[-1]]


def _logarithmic(axes: Axes, values: pd.Series) -> None:
    """A logarithmic axis with labels at powers of ten; the shorter the span of the values, the more between them."""
    span = values.max() / values.min()
    axes.set_xscale("log")
    if span >= 8:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < 100 else (1, 3), numticks=12))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}" if span < 8 else "")
