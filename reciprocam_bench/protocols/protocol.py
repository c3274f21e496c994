"""A protocol: everything about a paper's evaluation that changes its numbers."""

from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict

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
    """One paper's way of judging maps; ``options`` are those of metrics, where a config does not set them."""

    name: str
    version: int
    paper: str
    source: str
    preprocess: Geometry
    classes: Literal["predicted", "label", "present"]
    masked: Literal["normalised", "raw"]
    upsample: Upsample
    judged: Literal["image", "map"]
    options: dict[str, dict[str, Any]] = {}
    published: str


def protocol_names() -> list[str]:
    """The protocols that are installed."""
    return sorted(p.name.removesuffix(".yaml") for p in _FOLDER.iterdir() if p.name.endswith(".yaml"))


@cache
def load_protocol(name: str) -> Protocol:
    """Load a protocol by name; an unknown one is a ``UserError``."""
    if name not in protocol_names():
        raise UserError(f"unknown protocol '{name}'{did_you_mean(name, protocol_names())} (rcam-bench ls protocols)")
    return Protocol.model_validate(yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))
