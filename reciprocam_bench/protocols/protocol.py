"""A protocol: everything about a paper's evaluation that changes its numbers."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

import torch
import torch.nn.functional as F
import yaml
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from reciprocam_bench.errors import UserError, did_you_mean

_FOLDER = files("reciprocam_bench.protocols")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Geometry(_Strict):
    """How an image file becomes an input: resize (pixels of the shorter side, or of both), then centre crop.

    Without a crop the network runs on the whole picture, whatever its shape.
    """

    resize: Literal["shorter-side", "squash"]
    size: int
    crop: int | None
    interpolation: Literal["bilinear", "bicubic", "nearest"]

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after the resize, as torchvision rounds them."""
        if self.resize == "squash":
            return self.size, self.size
        longer = int(self.size * max(width, height) / min(width, height))
        return (self.size, longer) if width <= height else (longer, self.size)

    def view(self, width: int, height: int) -> tuple[float, float, float, float]:
        """What the network sees of an image of that size: left, top, right, bottom in the image's own pixels.

        An image smaller than the crop is padded, so the view can be larger than the image.
        """
        across, down = self.resized(width, height)
        if self.crop is None:
            return 0.0, 0.0, float(width), float(height)
        left, top = (_crop_offset(side, self.crop) for side in (across, down))
        x, y = width / across, height / down
        return left * x, top * y, (left + self.crop) * x, (top + self.crop) * y


def _crop_offset(side: int, crop: int) -> int:
    # torchvision rounds half to even, and pads the left by the smaller half.
    return round((side - crop) / 2) if side >= crop else -((crop - side) // 2)


class Upsample(_Strict):
    """How a map reaches image size. ``antialias`` selects PIL's kernel (bicubic with a = -0.5)."""

    mode: Literal["bilinear", "bicubic", "nearest"]
    antialias: bool


class Protocol(_Strict):
    """One paper's way of judging maps."""

    name: str
    version: int
    paper: str
    source: str
    preprocess: Geometry
    classes: Literal["predicted", "label", "present"]
    masked: Literal["normalised", "raw"]
    upsample: Upsample
    judged: Literal["image", "map"]
    published: str

    def saliency(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Normalised maps ``(N, h, w)`` to image size ``(N, H, W)``."""
        align = None if self.upsample.mode == "nearest" else False
        return F.interpolate(
            maps[:, None],
            size=size,
            mode=self.upsample.mode,
            align_corners=align,
            antialias=self.upsample.antialias,
        )[:, 0]

    def mask(self, images: Tensor, saliency: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        """Explanation images: preprocessed ``(N, 3, H, W)`` seen through ``(N, H, W)``.

        ``raw`` masks the pixels before the normalisation with ``mean`` and ``std``, so that black is black.
        """
        saliency = saliency[:, None]
        if self.masked == "normalised":
            return images * saliency
        mean, std = mean.view(1, 3, 1, 1), std.view(1, 3, 1, 1)
        return ((images * std + mean) * saliency - mean) / std


def on_original(maps: Tensor, geometry: Geometry, width: int, height: int) -> Tensor:
    """Normalised maps of images of one size, resampled bilinearly to the images' own pixels.

    ``(G, h, w) -> (G, height, width)``. Exact through resize and crop: each pixel's centre is looked up where the
    network saw it. Pixels that it did not see are 0.
    """
    left, top, right, bottom = geometry.view(width, height)
    x = ((torch.arange(width, device=maps.device) + 0.5 - left) / (right - left)).to(maps)
    y = ((torch.arange(height, device=maps.device) + 0.5 - top) / (bottom - top)).to(maps)
    grid = torch.stack(torch.meshgrid(2 * x - 1, 2 * y - 1, indexing="xy"), dim=-1).expand(len(maps), -1, -1, -1)
    found = F.grid_sample(maps[:, None], grid, mode="bilinear", padding_mode="border", align_corners=False)[:, 0]
    seen = ((y >= 0) & (y < 1))[:, None] & ((x >= 0) & (x < 1))[None, :]
    return found * seen


def normalise(maps: Tensor) -> Tensor:
    """Min-max each map to [0, 1], ``(N, h, w)``; a constant map, or one with a NaN or infinity, becomes all 0.

    A map without contrast marks nothing, so it is judged as one that shows a black image, and its row says so.
    """
    good = maps.isfinite().all(-1).all(-1)[:, None, None]
    maps = maps.where(good, maps.new_tensor(0.0))
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / (high - low).where(high > low, maps.new_tensor(1.0))


def map_status(maps: Tensor) -> list[str]:
    """``ok``, ``constant`` or ``nan`` (any value not finite) for each raw map."""
    finite = maps.isfinite().all(-1).all(-1)
    constant = maps.amax((1, 2)) == maps.amin((1, 2))
    return [
        "nan" if not f else "constant" if c else "ok" for f, c in zip(finite.tolist(), constant.tolist(), strict=True)
    ]


def protocol_names() -> list[str]:
    """The protocols that are installed."""
    return sorted(p.name.removesuffix(".yaml") for p in _FOLDER.iterdir() if p.name.endswith(".yaml"))


@cache
def load_protocol(name: str) -> Protocol:
    """Load a protocol by name; an unknown one is a ``UserError``."""
    if name not in protocol_names():
        raise UserError(f"unknown protocol '{name}'{did_you_mean(name, protocol_names())} (rcam-bench ls protocols)")
    return Protocol.model_validate(yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Published:
    """Values a paper printed for one backbone and method, in percent, and who measured them."""

    values: dict[str, float]
    provenance: str


@cache
def published(protocol: str, dataset: str) -> dict[tuple[str, str], Published]:
    """What the protocol's paper printed, by (backbone, method)."""
    text = (_FOLDER / load_protocol(protocol).published).read_text(encoding="utf-8")
    table = {}
    for row in csv.DictReader(text.splitlines()):
        if row.pop("protocol") == protocol and row.pop("dataset") == dataset:
            key = row.pop("backbone"), row.pop("method")
            provenance = row.pop("provenance")
            table[key] = Published({name: float(value) for name, value in row.items() if value}, provenance)
    return table
