"""How a layer lays its positions out: channels first, channels last or tokens; and the way to a map and back."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from reciprocam_bench.errors import UserError

# Class, distillation and register tokens in front of the patches; no network of docs/architectures.md has as many.
MOST_PREFIX_TOKENS = 16

Kind = Literal["channels-first", "channels-last", "tokens"]
Grid = tuple[int, int]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """Where the ``h x w`` positions stand in a layer's output.

    ``channels-first`` is ``(N, C, h, w)``, ``channels-last`` is ``(N, h, w, C)``, ``tokens`` is ``(N, P + h*w, C)``
    with ``prefix = P`` tokens that have no place in the image.
    """

    kind: Kind
    grid: Grid
    prefix: int = 0

    def to_map(self, output: Tensor, image: Grid) -> Tensor:
        """The output as a map ``(N, C, h, w)`` for images of the given height and width; prefix tokens left out."""
        if self.kind == "channels-first":
            return output
        if self.kind == "channels-last":
            return output.permute(0, 3, 1, 2)
        height, width = self._grid_of(output.shape[1] - self.prefix, image)
        return output[:, self.prefix :].transpose(1, 2).unflatten(2, (height, width))

    def prefix_of(self, output: Tensor) -> Tensor | None:
        """The prefix tokens ``(N, P, C)``, where there are any."""
        return output[:, : self.prefix] if self.prefix else None

    def from_map(self, maps: Tensor, context: Tensor | None) -> Tensor:
        """The layer's own form of ``maps (M, C, h, w)``, behind its prefix tokens ``context (M or 1, P, C)``."""
        if self.kind == "channels-first":
            return maps
        if self.kind == "channels-last":
            return maps.permute(0, 2, 3, 1)
        tokens = maps.flatten(2).transpose(1, 2)
        if context is None:
            return tokens
        return torch.cat([context.expand(tokens.shape[0], -1, -1).to(tokens.dtype), tokens], 1)

    def _grid_of(self, positions: int, image: Grid) -> Grid:
        if positions == math.prod(self.grid):
            return self.grid
        grid = _grid(positions, image)
        if grid is None:
            raise UserError(f"{positions} tokens are no grid on images of {image[0]}x{image[1]} pixels")
        return grid


class Halves(NamedTuple):
    """A network cut in two; ``features`` gives, and ``head`` takes, the layer's output in its own layout."""

    features: nn.Module
    head: nn.Module
    layer: str
    layout: Layout


@dataclass(frozen=True)
class Hint:
    """What a network says of its own tokens: the grid of its patch embedding, and its prefix tokens."""

    grid: Grid
    prefix: int


def hint_of(module: nn.Module) -> Hint | None:
    """The grid and prefix that timm's transformers know of themselves."""
    grid = getattr(getattr(module, "patch_embed", None), "grid_size", None)
    prefix = getattr(module, "num_prefix_tokens", None)
    if isinstance(grid, tuple) and len(grid) == 2 and isinstance(prefix, int):
        return Hint((int(grid[0]), int(grid[1])), prefix)
    return None


def layout_of(shape: Shape, images: Shape, hint: Hint | None = None) -> Layout | None:
    """The layout of an output on ``images (N, 3, H, W)``, or None for one that is no map (a single row is none).

    Tokens are a grid with the image's ratio behind as few prefix tokens as possible, if the network gives no hint.
    """
    image = (images[2], images[3])
    if not shape or shape[0] != images[0]:
        return None  # windows are folded into the batch
    if len(shape) == 4:
        return _of_four(shape, image)
    # Tokens of one channel are channels that were pooled to one position.
    return _of_tokens(shape[1], image, hint) if len(shape) == 3 and shape[2] > 1 else None


def is_flat_map(shape: Shape, given: Shape) -> bool:
    """Whether an output is the map ``(N, C, h, w)`` it was given as ``(N, C, h w)``: its rows are no positions."""
    return len(shape) == 3 and len(given) == 4 and shape == (*given[:2], given[2] * given[3])


def _of_four(shape: Shape, image: Grid) -> Layout | None:
    first, last = Layout("channels-first", (shape[2], shape[3])), Layout("channels-last", (shape[1], shape[2]))
    likely = [layout for layout in (first, last) if min(layout.grid) > 1 and has_shape_of_image(layout.grid, image)]
    # 8 channels of 7x7 are nearly square both ways; the exact one is meant.
    exact = [layout for layout in likely if _is_scaled(layout.grid, image)]
    return next(iter(exact or likely), None)


def _of_tokens(length: int, image: Grid, hint: Hint | None) -> Layout | None:
    if hint is not None and length == math.prod(hint.grid) + hint.prefix and min(hint.grid) > 1:
        return Layout("tokens", hint.grid, hint.prefix)
    for prefix in range(MOST_PREFIX_TOKENS + 1):
        grid = _grid(length - prefix, image)
        if grid is not None:
            return Layout("tokens", grid, prefix)
    return None


def _grid(positions: int, image: Grid) -> Grid | None:
    """Height and width of so many positions on the image, or None where they are no grid of its ratio."""
    pairs = [(h, positions // h) for h in range(2, positions // 2 + 1) if positions % h == 0]
    fitting = [pair for pair in pairs if _is_scaled(pair, image)]
    return min(fitting, key=lambda p: abs(p[0] * image[1] - p[1] * image[0]), default=None)


def has_shape_of_image(grid: Grid, image: Grid) -> bool:
    """Whether both sides are those of the image divided by one number, give or take the rounding of many layers."""
    return abs(grid[0] * image[1] - grid[1] * image[0]) <= 2 * max(image)


def _is_scaled(grid: Grid, image: Grid) -> bool:
    """Whether one patch size gives this grid, both sides rounded the same way."""
    (h, w), (height, width) = grid, image
    down = max(height / (h + 1), width / (w + 1)) < min(height / h, width / w)
    up = max(height / h, width / w) < min(height / (h - 1), width / (w - 1)) if min(grid) > 1 else False
    return down or up or h * width == w * height


class ToMap(nn.Module):
    """Features as a map ``(N, C, h, w)``; where the layer has prefix tokens, as ``(map, tokens (N, P, C))``."""

    def __init__(self, features: nn.Module, layout: Layout) -> None:
        super().__init__()
        self.features = features
        self.layout = layout

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """``(N, 3, H, W)`` to ``(N, C, h, w)``, or that and ``(N, P, C)``."""
        output = self.features(images)
        maps = self.layout.to_map(output, (images.shape[2], images.shape[3]))
        prefix = self.layout.prefix_of(output)
        return maps if prefix is None else (maps, prefix)


class FromMap(nn.Module):
    """A head that takes maps ``(M, C, h, w)``, and the tokens beside them where its layer has such."""

    def __init__(self, head: nn.Module, layout: Layout) -> None:
        super().__init__()
        self.head = head
        self.layout = layout

    def forward(self, maps: Tensor, context: Tensor | None = None) -> Tensor:
        """``maps`` and ``context (M or 1, P, C)`` to logits ``(M, K)``; ``UserError`` where the context is missing."""
        if context is None and self.layout.prefix:
            raise UserError(
                f"the head needs the {self.layout.prefix} prefix tokens of each map's image too; "
                "call head(maps, context) with the context that features(images) gives beside the maps"
            )
        return self.head(self.layout.from_map(maps, context))


class OnACopy(nn.Module):
    """A head whose first layer works in place, run on a copy: its maps belong to every method."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, maps: Tensor, *context: Tensor) -> Tensor:
        """As the head's own."""
        return self.head(maps.clone(), *context)
