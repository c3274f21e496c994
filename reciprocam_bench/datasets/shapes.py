"""Drawn pictures of one shape whose place is known, pixel by pixel, beside an object that is of no class."""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi

import numpy as np
from PIL import Image

SIDE = 64  # pixels
VERSION = 1  # of what `draw` draws; kept pictures and weights of another one are not used

Inside = Callable[[np.ndarray, np.ndarray], np.ndarray]

# Where a shape is, of u to the right and v down; all lie in the unit circle, so that circles keep objects apart.
SHAPES: dict[str, Inside] = {
    "disc": lambda u, v: np.hypot(u, v) <= 0.9,
    "ring": lambda u, v: abs(np.hypot(u, v) - 0.75) <= 0.25,
    "square": lambda u, v: np.maximum(abs(u), abs(v)) <= 0.7,
    "triangle": lambda u, v: (v <= 0.5) & (3**0.5 * abs(u) - v <= 1),
    "cross": lambda u, v: (np.minimum(abs(u), abs(v)) <= 0.3) & (np.maximum(abs(u), abs(v)) <= 0.95),
    "diamond": lambda u, v: abs(u) / 0.6 + abs(v) <= 1,
    "bar": lambda u, v: (abs(u) <= 0.95) & (abs(v) <= 0.28),
    "crescent": lambda u, v: (np.hypot(u, v) <= 1) & (np.hypot(u - 0.5, v) > 0.75),
}


def star(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A star with five points: the object that every picture has and that says nothing of its class."""
    half, inner = pi / 5, 0.45  # from a point to the next dent, and how far out that is
    angle = abs((np.arctan2(u, -v) + half) % (2 * half) - half)
    along = abs((inner * np.cos(half) - 1) * np.sin(angle) - inner * np.sin(half) * np.cos(angle))
    return np.hypot(u, v) <= inner * np.sin(half) / along


@dataclass(frozen=True)
class Drawing:
    """A picture and the truth about it.

    Attributes:
        pixels: ``(SIDE, SIDE, 3)`` uint8.
        label: index of its shape in `SHAPES`.
        evidence: where the shape is, ``(SIDE, SIDE)`` bool.
        distractor: where the star is, likewise; the two do not touch.
    """

    pixels: np.ndarray
    label: int
    evidence: np.ndarray
    distractor: np.ndarray


def draw(index: int, seed: int, stream: str = "judged") -> Drawing:
    """Picture ``index`` of a seed and stream, whatever others are drawn; labels go round.

    Colour, size (radius 8 to 14 pixels), place and turn of both objects are random, and so is the texture they lie on.
    """
    rng = np.random.default_rng([VERSION, seed, index, *stream.encode()])
    label = index % len(SHAPES)
    masks = [
        _placed(inside, *where, rng.uniform(-0.35, 0.35))
        for inside, where in zip((list(SHAPES.values())[label], star), _places(rng), strict=True)
    ]
    ground = rng.uniform(0.2, 0.8, 3)
    pixels = ground + _clouds(rng)
    for mask in masks:
        pixels[mask] = _colour_apart(rng, ground)
    pixels += rng.normal(0, 0.04, pixels.shape)  # grain, on the objects too
    return Drawing(np.rint(255 * pixels.clip(0, 1)).astype(np.uint8), label, *masks)


def _places(rng: np.random.Generator) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Centres and radii (x, y, r) of two objects inside the picture that do not touch."""
    while True:
        (r, q), at = rng.uniform(8, 14, 2), rng.uniform(0, 1, 4)
        x, y = r + at[:2] * (SIDE - 2 * r)
        z, w = q + at[2:] * (SIDE - 2 * q)
        if np.hypot(x - z, y - w) > r + q + 2:
            return (x, y, r), (z, w, q)


def _placed(inside: Inside, x: float, y: float, radius: float, turn: float) -> np.ndarray:
    """The pixels whose centres lie inside the shape, turned by so many radians, ``(SIDE, SIDE)`` bool."""
    centres = np.arange(SIDE) + 0.5
    right, down = (centres[None, :] - x) / radius, (centres[:, None] - y) / radius
    return inside(np.cos(turn) * right + np.sin(turn) * down, np.cos(turn) * down - np.sin(turn) * right)


def _clouds(rng: np.random.Generator) -> np.ndarray:
    """Soft stains of about 8 pixels, ``(SIDE, SIDE, 3)``."""
    grids = rng.normal(0, 0.12, (3, SIDE // 8, SIDE // 8)).astype(np.float32)
    size, kind = (SIDE, SIDE), Image.Resampling.BICUBIC
    return np.stack([np.asarray(Image.fromarray(g).resize(size, kind), np.float64) for g in grids], -1)


def _colour_apart(rng: np.random.Generator, ground: np.ndarray) -> np.ndarray:
    """A colour that can be told from the ground."""
    while True:
        colour = rng.uniform(0, 1, 3)
        if np.abs(colour - ground).max() > 0.45:
            return colour
