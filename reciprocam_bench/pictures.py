"""Heat maps laid over pictures."""

import textwrap
from collections.abc import Mapping

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

Heat = np.ndarray  # (H, W), 0 to 1
_MOST_COLUMNS = 8


def overlay(picture: Image.Image, heat: Heat, strength: float = 0.55) -> Image.Image:
    """Lay a normalised map over a picture of the same size; values outside [0, 1] are clipped for the eye alone."""
    colours = colormaps["jet"](np.clip(np.nan_to_num(heat), 0, 1))[..., :3]
    base = np.asarray(picture.convert("RGB"), dtype=np.float32) / 255
    mixed = (1 - strength) * base + strength * colours
    return Image.fromarray((mixed * 255).round().astype(np.uint8))


def sheet(picture: Image.Image, heading: str, heats: Mapping[str, Heat], notes: Mapping[str, str]) -> Figure:
    """Rows of pictures: the image, then each method's overlay with its name and a note under it."""
    columns = min(1 + len(heats), _MOST_COLUMNS)
    rows = -(-(1 + len(heats)) // columns)
    figure = Figure(figsize=(2.6 * columns, 0.3 + 3.0 * rows), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    panels = {"image": (picture, "")}
    panels |= {name: (overlay(picture, heat), notes.get(name, "")) for name, heat in heats.items()}
    for index, (name, (shown, note)) in enumerate(panels.items(), 1):
        axes = figure.add_subplot(rows, columns, index)
        axes.imshow(shown)
        axes.set_title(textwrap.fill(name, 34), fontsize=9, parse_math=False)
        axes.set_xlabel(note, fontsize=8, parse_math=False)
        axes.set_xticks([])
        axes.set_yticks([])
    figure.suptitle(heading, fontsize=10, parse_math=False)
    return figure
