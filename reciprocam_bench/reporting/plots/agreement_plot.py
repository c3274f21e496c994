"""How alike the maps of methods are, as a matrix."""

import numpy as np
import pandas as pd

from reciprocam_bench.reporting.plots.style import INK, Plot, names_beside, new_figure, room_for, styled


def agreement_plot(agreement: pd.DataFrame) -> Plot | None:
    """Mean rank correlations of the methods' maps."""
    part = agreement.dropna(subset=["correlation"])
    if part.empty:
        return None
    names = list(dict.fromkeys([*part["against"], *part["method"]]))
    place = {name: i for i, name in enumerate(names)}
    matrix = np.full((len(names), len(names)), np.nan)
    np.fill_diagonal(matrix, 1)
    for row in part.itertuples():
        a, b = place[str(row.method)], place[str(row.against)]
        matrix[a, b] = matrix[b, a] = row.correlation
    side = 0.5 * len(names)
    shown = names_beside(names)
    room = room_for(shown)
    with styled():
        figure = new_figure(side + 3.4 + room, side + 1.9 + room / 2)
        axes = figure.subplots()
        image = axes.imshow(matrix, cmap="cividis", vmin=-1, vmax=1)
        axes.grid(visible=False)
        axes.set_xticks(range(len(names)))
        axes.set_xticklabels(shown, rotation=40, ha="right", rotation_mode="anchor", parse_math=False)
        axes.set_yticks(range(len(names)))
        axes.set_yticklabels(shown, parse_math=False)
        for (y, x), value in np.ndenumerate(matrix):
            if not np.isnan(value):
                colour = "#ffffff" if value < 0.2 else "#000000"
                axes.text(x, y, f"{value:.2f}", ha="center", va="center", fontsize=7.5, color=colour)
        bar = figure.colorbar(image, ax=axes, shrink=0.8)
        bar.ax.tick_params(color=INK)
        bar.set_label("mean rank correlation")
    images = sorted({int(n) for n in part["images"]})
    counted = f"{images[0]} images" if len(images) == 1 else f"{images[0]} to {images[-1]} images"
    caption = f"Mean Spearman correlation of raw maps over {counted}; 1: the same order of places, 0: none in common."
    return Plot("agreement", "Agreement of methods", caption, figure)
