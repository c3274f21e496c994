"""Curves of metrics that keep them in the rows: insertion, deletion."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from reciprocam_bench.aggregation import CURVE
from reciprocam_bench.reporting.estimate import estimate, sample_of
from reciprocam_bench.reporting.plots.style import Plot, in_legend, look, name_lines, new_figure, styled
from reciprocam_bench.runfolder.schema import ERROR, MetricDefinition
from reciprocam_bench.titles import with_arrow

_MOST_BANDS = 3  # methods: the bands of more lie over one another
_LINES = ("-", "--", "-.", ":")


def curves_plot(rows: pd.DataFrame, methods: Sequence[str], metrics: dict[str, MetricDefinition]) -> Plot | None:
    """The mean curve of each method, a panel a metric; None where no metric keeps curves."""
    rows = rows[~rows["status"].str.startswith(ERROR)]
    shown = [m for m in metrics.values() if m.aggregation == CURVE and rows[m.columns].notna().all(axis=1).any()]
    if not shown:
        return None
    banded = len(methods) <= _MOST_BANDS
    with styled():
        figure = new_figure(3.9 * len(shown), 3.6 + 0.18 * -(-len(methods) // 3))
        grid = figure.subplots(1, len(shown), squeeze=False, sharey=True)
        for axes, metric in zip(grid[0], shown, strict=True):
            for place, method in enumerate(methods):
                value, low, high = mean_curve(rows[rows["method"] == method], metric)
                share = np.linspace(0, 100, len(value))
                style = look(place) | {"markersize": 4, "markevery": (0.02 * (place % 5), 0.1)}
                axes.plot(share, value, linestyle=_LINES[place % len(_LINES)], label=in_legend(method), **style)
                if banded:
                    axes.fill_between(share, low, high, color=style["color"], alpha=0.18, linewidth=0)
            axes.set(xlim=(0, 100), ylim=(0, None), xlabel="most salient pixels, percent")
            axes.set_title(with_arrow(metric.title, metric.higher_is_better), parse_math=False)
        grid[0][0].set_ylabel("class probability, percent")
        name_lines(figure, grid[0][0], loc="outside lower center", ncols=3)
    caption = "Means over the images as pixels come into a blurred image (insertion) or become 0 (deletion). "
    if banded:
        caption += "Bands: 95 % intervals at each share (images resampled)."
    else:
        caption += f"Intervals are drawn for up to {_MOST_BANDS} methods; those of the areas stand in the summary."
    return Plot("curves", "Insertion and deletion curves", caption, figure)


def mean_curve(rows: pd.DataFrame, metric: MetricDefinition) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over the images in percent, and its 95 % interval, at each of the metric's columns; NaN of no images."""
    rows = rows.assign(image=pd.factorize(rows["image"], sort=True)[0])
    rows = rows[rows[metric.columns].notna().all(axis=1)]
    single = (metric.model_copy(update={"aggregation": "mean", "columns": [column]}) for column in metric.columns)
    found = np.array(estimate([sample_of(one, rows, {}) for one in single]), dtype=float)
    return found[:, 0], found[:, 1], found[:, 2]
