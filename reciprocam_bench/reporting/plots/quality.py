"""Plots of how good maps are: metrics with intervals, their spread over images, paired differences."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from reciprocam_bench.reporting.compare import UNTOLD
from reciprocam_bench.reporting.plots.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    Plot,
    names_beside,
    new_figure,
    panels,
    room_for,
    styled,
)
from reciprocam_bench.reporting.tables import NO_INTERVAL
from reciprocam_bench.runfolder.schema import MetricDefinition
from reciprocam_bench.titles import with_arrow

Metrics = dict[str, MetricDefinition]

_MOST_PANELS = 12
_MOST_PAIRS = 24


def metrics_plot(summary: pd.DataFrame, metrics: Metrics) -> Plot | None:
    """Each metric of each method with its interval, and the published value where there is one."""
    valued = [name for name in metrics if summary[name].notna().any()]
    shown = valued[:_MOST_PANELS]
    if not shown:
        return None
    methods = list(summary["method"])
    with styled():
        figure, axes = panels(len(shown), methods)
        for one, name in zip(axes, shown, strict=True):
            value, low, high = (summary[f"{name}{end}"].to_numpy(float) for end in ("", "_low", "_high"))
            rows = np.arange(len(methods))
            one.hlines(rows, low, high, color=BLUE, linewidth=1.6)
            one.plot(value, rows, "o", color=BLUE, markersize=4.5)
            one.plot(summary[f"{name}_published"].to_numpy(float), rows, "D", mfc="none", mec=ORANGE, markersize=5.5)
            _at_least(one, 4)
            one.set_title(with_arrow(metrics[name].title, metrics[name].higher_is_better), parse_math=False)
            one.set_xlabel("percent")
    published = any(summary[f"{name}_published"].notna().any() for name in shown)
    caption = "Dots: values over the data set; lines: their 95 % intervals (images resampled). "
    caption += "Open diamonds: published values. " if published else ""
    bare = any((summary[f"{name}_low"] == summary[f"{name}_high"]).any() for name in shown)
    caption += f"{NO_INTERVAL}. " if bare else ""
    caption += "Axes do not begin at zero. Intervals that overlap may still be told apart: see the paired differences."
    caption += _first_of(shown, valued)
    return Plot("metrics", "Metrics with intervals", caption, figure)


def distributions_plot(rows: pd.DataFrame, methods: Sequence[str], metrics: Metrics) -> Plot | None:
    """How the values of single images spread, for metrics of more than two values."""
    rows = rows[rows["method"].isin(methods)]
    single = {name: m.columns[0] for name, m in metrics.items() if len(m.columns) == 1}
    spread = [name for name, column in single.items() if rows[column].nunique() > 2]
    shown = spread[:_MOST_PANELS]
    if not shown:
        return None
    with styled():
        figure, axes = panels(len(shown), methods)
        for one, name in zip(axes, shown, strict=True):
            for place, method in enumerate(methods):
                _box(one, place, 100 * rows.loc[rows["method"] == method, single[name]].dropna().to_numpy(float))
            if rows[single[name]].min() >= 0 and rows[single[name]].max() <= 1:
                one.set_xlim(-2, 102)
            one.set_title(with_arrow(metrics[name].title, metrics[name].higher_is_better), parse_math=False)
            one.set_xlabel("percent")
    caption = (
        "Values of single images: boxes from the lower to the upper quartile with the median in it, whiskers to the "
        "last image within 1.5 box lengths, dots beyond. Metrics that are only 0 or 1 on an image are left out."
    ) + _first_of(shown, spread)
    return Plot("distributions", "Spread over images", caption, figure)


def differences_plot(comparison: pd.DataFrame, metric: str, definition: MetricDefinition) -> Plot | None:
    """The paired differences of a metric; of many pairs those with the method that stands best."""
    part = comparison[(comparison["metric"] == metric) & comparison["difference"].notna()]
    if part.empty:
        return None
    caption = ""
    if len(part) > _MOST_PAIRS:
        best = _best(part, definition.higher_is_better is not False)
        part = _seen_from(best, part[(part["method"] == best) | (part["against"] == best)])
        caption = f"Only pairs with {best}, which has the best value. "
    known = list(dict.fromkeys([*part["method"], *part["against"]]))
    short = dict(zip(known, names_beside(known), strict=True))
    labels = [f"{short[a]} \N{MINUS SIGN} {short[b]}" for a, b in zip(part["method"], part["against"], strict=True)]
    told = (part["verdict"] != UNTOLD).to_numpy()
    value, low, high = (part[key].to_numpy(float) for key in ("difference", "low", "high"))
    with styled():
        figure = new_figure(7.2 + room_for(labels, 50), 0.9 + 0.26 * max(len(part), 2))
        axes = figure.subplots()
        axes.axvline(0, color=INK, linewidth=1)
        for mask, colour, fill in ((told, BLUE, BLUE), (~told, GREY, "none")):
            places = np.flatnonzero(mask)
            axes.hlines(places, low[mask], high[mask], color=colour, linewidth=1.6)
            axes.plot(value[mask], places, "o", color=colour, mfc=fill, markersize=5)
        axes.set_yticks(range(len(part)))
        axes.set_yticklabels(labels, parse_math=False)
        axes.set_ylim(len(part) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"difference in {definition.title}, percentage points", parse_math=False)
    caption += (
        "Differences on the same images with paired 95 % intervals. Filled and blue: told from chance after Holm's "
        "adjustment for all tests under this protocol; open and grey: cannot be told."
    )
    return Plot("differences", f"Paired differences in {definition.title}", caption, figure)


def _seen_from(best: str, part: pd.DataFrame) -> pd.DataFrame:
    """Pairs of a method with others, each as the method less the other."""
    turned = part["against"] == best
    part = part.copy()
    part.loc[turned, ["method", "against"]] = part.loc[turned, ["against", "method"]].to_numpy()
    part.loc[turned, ["difference", "low", "high"]] = -part.loc[turned, ["difference", "high", "low"]].to_numpy(float)
    return part


def _first_of(shown: Sequence[str], of: Sequence[str]) -> str:
    """What a caption says where not all are shown."""
    return f" The first {len(shown)} of {len(of)}; the summary has all." if len(shown) < len(of) else ""


def _best(part: pd.DataFrame, higher: bool) -> str:
    values = dict(zip(part["method"], part["value"], strict=True))
    values |= dict(zip(part["against"], part["against_value"], strict=True))
    return str((max if higher else min)(values, key=lambda name: values[name]))


def _box(axes: Axes, place: int, values: np.ndarray) -> None:
    """Tukey's box of values in a row of the axes."""
    if not len(values):
        return
    q25, median, q75 = np.quantile(values, [0.25, 0.5, 0.75])
    reach = 1.5 * (q75 - q25)
    near = values[(values >= q25 - reach) & (values <= q75 + reach)]
    axes.hlines([place, place], [near.min(), q75], [q25, near.max()], color=BLUE, linewidth=1)
    axes.barh(place, q75 - q25, left=q25, height=0.55, facecolor="none", edgecolor=BLUE)
    axes.vlines(median, place - 0.275, place + 0.275, color=ORANGE, linewidth=1.8)
    far = values[(values < q25 - reach) | (values > q75 + reach)]
    axes.plot(far, np.full(len(far), place), ".", color=GREY, markersize=2.5)


def _at_least(axes: Axes, span: float) -> None:
    """Widen an axis to so many percentage points, as what differs by less should look so; 0 and 100 end it."""
    low, high = axes.get_xlim()
    begins, ends = axes.dataLim.x0 >= 0, axes.dataLim.x1 <= 100
    if high - low < span:
        middle = (low + high) / 2
        low, high = middle - span / 2, middle + span / 2
    axes.set_xlim(max(low, -0.8) if begins else low, min(high, 100.8) if ends else high)
