"""Heat maps laid over pictures, pixel by pixel."""

import numpy as np
from PIL import Image

from reciprocam_bench.errors import UserError, did_you_mean

Heat = np.ndarray  # (H, W), 0 to 1
View = tuple[float, float, float, float]  # what the network saw of a picture: left, top, right, bottom in its pixels

COLORMAP = "jet"  # the colours that CAM papers print
STRENGTH = 0.55


def overlay(
    picture: Image.Image,
    heat: Heat,
    strength: float = STRENGTH,
    colormap: str = COLORMAP,
    view: View | None = None,
) -> Image.Image:
    """Lay a normalised map over a picture of the same size; values outside [0, 1] are clipped for the eye alone.

    Args:
        picture: of W x H pixels.
        heat: ``(H, W)``.
        strength: opacity of the colours, 0 to 1.
        colormap: a colour map of matplotlib's.
        view: what the network saw; the picture stays plain around it. All of it if left out.
    """
    colours = _coloured(heat, colormap)[..., :3]
    base = np.asarray(picture.convert("RGB"), dtype=np.float32) / 255
    opacity = strength if view is None else strength * _seen(view, *picture.size)[..., None]
    mixed = (1 - opacity) * base + opacity * colours
    return Image.fromarray((mixed * 255).round().astype(np.uint8))


def heat_layer(heat: Heat, colormap: str = COLORMAP) -> Image.Image:
    """A normalised map ``(H, W)`` alone, as RGBA of W x H pixels: the colder, the more transparent."""
    pixels = _coloured(heat, colormap)
    pixels[..., 3] = _clipped(heat)
    return Image.fromarray((pixels * 255).round().astype(np.uint8))


def shrunk(picture: Image.Image, most: tuple[int, int]) -> Image.Image:
    """The picture with at most ``most`` pixels across and down, its aspect ratio kept; a smaller one stays as it is."""
    factor = min(most[0] / picture.size[0], most[1] / picture.size[1])
    if factor >= 1:
        return picture
    across, down = (max(1, round(side * factor)) for side in picture.size)
    return picture.resize((across, down), Image.Resampling.BOX)


def shrunk_heat(heat: Heat, most: tuple[int, int]) -> Heat:
    """A map ``(H, W)`` shrunk as `shrunk` does with a picture."""
    return np.asarray(shrunk(Image.fromarray(np.asarray(heat, dtype=np.float32)), most))


def check_colormap(name: str, where: str) -> None:
    """Raise ``UserError`` for a colour map that matplotlib does not have; ``where`` is the key or option."""
    if name == COLORMAP:  # which needs no look, so that a run does not wait for matplotlib before it begins
        return
    from matplotlib import colormaps

    if name not in colormaps:
        known = [n for n in colormaps if not n.endswith("_r")]
        raise UserError(f"{where}: unknown colour map '{name}'{did_you_mean(name, known)} (jet, viridis, cividis, ...)")


def _coloured(heat: Heat, colormap: str) -> np.ndarray:
    """``(H, W, 4)``, 0 to 1."""
    from matplotlib import colormaps  # here, as a run that draws nothing loads no matplotlib

    return colormaps[colormap](_clipped(heat))


def _clipped(heat: Heat) -> Heat:
    return np.clip(np.nan_to_num(heat), 0, 1)


def _seen(view: View, width: int, height: int) -> np.ndarray:
    """Which pixels' centres lie in the view, ``(height, width)`` bool."""
    left, top, right, bottom = view
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    return ((y >= top) & (y < bottom))[:, None] & ((x >= left) & (x < right))[None, :]
