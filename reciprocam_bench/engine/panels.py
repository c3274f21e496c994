"""Panels of overlays and sheets: a raw map on all of a picture, and the words beside it."""

import numpy as np
import torch
from torch import Tensor

from reciprocam_bench.figures import Panel
from reciprocam_bench.pictures import Heat, shrunk_heat
from reciprocam_bench.protocols.maps import normalise, on_original
from reciprocam_bench.protocols.protocol import Geometry


def heat_of(cam: Tensor, geometry: Geometry, size: tuple[int, int]) -> Heat:
    """A raw map ``(h, w)`` normalised, on the pixels of a picture of (width, height): ``(height, width)``, 0 to 1."""
    return on_original(normalise(cam[None].float()), geometry, *size)[0].cpu().numpy()


def panel(title: str, heat: Heat, caption: str, most: tuple[int, int], *, marked: bool) -> Panel:
    """A panel of a map ``(height, width)`` on all of a picture, with at most ``most`` pixels across and down.

    ``marked`` puts a cross at its `peak_of`.
    """
    return Panel(title, shrunk_heat(heat, most), caption, peak_of(heat) if marked else None)


def peak_of(heat: Heat) -> tuple[float, float] | None:
    """The centre of the pixel of a map's ``(height, width)`` first maximum, (x, y); None where the map is constant."""
    if not heat.max() > heat.min():  # NaN is more than nothing
        return None
    y, x = divmod(int(np.argmax(heat)), heat.shape[1])
    return x + 0.5, y + 0.5


def time_in_words(seconds: float) -> str:
    """``12 ms`` or ``3.4 s``: two digits or three, as a single call is known no better."""
    if seconds < 0.001:
        return "< 1 ms"
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s" if seconds < 100 else f"{seconds:.0f} s"


def probability_in_words(probability: float) -> str:
    """``p = 0.980``; none is said to be 0."""
    return "p < 0.001" if probability < 0.0005 else f"p = {probability:.3f}"


def class_words(names: tuple[str, ...], explained: int, probability: float, predicted: int, label: int | None) -> str:
    """``explained: tench (p = 0.980)``, with the prediction and the label where they differ from it."""

    def name(index: int) -> str:  # labels of another data set may be beyond the network's classes
        return names[index] if index < len(names) else f"class {index}"

    text = f"explained: {name(explained)} ({probability_in_words(probability)})"
    if predicted != explained:
        text += f", predicted: {name(predicted)}"
    if label is not None and label != explained:
        text += f", labelled: {name(label)}"
    return text


def top_classes(probabilities: Tensor, most: int = 5) -> list[tuple[int, float]]:
    """The best classes of ``(K,)`` probabilities with these, the best first."""
    values, indices = torch.topk(probabilities, min(most, len(probabilities)))
    return list(zip(indices.tolist(), values.tolist(), strict=True))
