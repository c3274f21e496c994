"""A protocol: everything about an evaluation that changes its numbers. Installed ones have a name, one's own a file."""

import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, Field, PrivateAttr, ValidationError, model_validator

from reciprocam_bench.config_backbone import Strict
from reciprocam_bench.errors import UserError, did_you_mean
from reciprocam_bench.yaml_file import read_yaml

_FOLDER = files("reciprocam_bench.protocols")
# What says which protocol it is; all other keys are choices.
_LABELS = ("name", "version", "paper", "source")

Pixels = Annotated[int, Field(ge=1, le=8192)]


class Geometry(Strict):
    """How an image file becomes an input: resize (pixels of the shorter side, or of both), then centre crop.

    Without a crop the network runs on the whole picture, whatever its shape.
    """

    resize: Literal["shorter-side", "squash"]
    size: Pixels
    crop: Pixels | None
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


class Upsample(Strict):
    """How a map reaches image size. ``antialias`` selects PIL's kernel (bicubic with a = -0.5).

    Bicubic leaves [0, 1]; ``clamp`` cuts off what is outside.
    """

    mode: Literal["bilinear", "bicubic", "nearest"]
    antialias: bool = False
    clamp: bool = False

    @model_validator(mode="after")
    def _has_kernel(self) -> Self:
        if self.mode == "nearest" and self.antialias:
            raise ValueError("nearest has no antialias; add antialias: false")
        return self


def _is_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise ValueError(f"use letters, digits, - and _, not {name!r}")
    return name


class Protocol(Strict):
    """One way of judging maps; ``options`` are those of metrics, where a config does not set them.

    A key that is added here must have the default that keeps protocols as they were.
    """

    name: Annotated[str, AfterValidator(_is_name)]
    version: int = Field(1, ge=1)
    paper: str = ""
    source: str = ""
    preprocess: Geometry
    classes: Literal["predicted", "label", "present"]
    masked: Literal["normalised", "raw"]
    upsample: Upsample
    judged: Literal["image", "map"]
    options: dict[str, dict[str, Any]] = Field({})
    _path: str = PrivateAttr("")

    @property
    def path(self) -> str:
        """The file it was read from; empty for one whose content stands in a config."""
        return self._path

    @property
    def choices(self) -> dict[str, Any]:
        """All that changes its numbers, as it can be written."""
        return self.model_dump(mode="json", exclude=set(_LABELS))


def protocol_names() -> list[str]:
    """The protocols that are installed."""
    return sorted(p.name.removesuffix(".yaml") for p in _FOLDER.iterdir() if p.name.endswith(".yaml"))


def load_protocol(given: str | Protocol) -> Protocol:
    """An installed protocol by its name, or one of one's own by its file, or as `parse_protocol` made it.

    Raises ``UserError`` for an unknown name, a file that is no protocol, and another protocol under an installed name.
    """
    if isinstance(given, str) and not is_file_name(given):
        return _installed(given)
    own = read_protocol(Path(given)) if isinstance(given, str) else given
    if own.name in protocol_names():
        theirs = _installed(own.name)
        if (own.version, own.choices) != (theirs.version, theirs.choices):
            where = own.path or "protocol"
            raise UserError(
                f"{where}: name: '{own.name}' is an installed protocol with other choices; give yours another name"
            )
    return own


def is_file_name(text: str) -> bool:
    """Whether a word names a file of one's own, not an installed protocol."""
    return text.endswith((".yaml", ".yml"))


def read_protocol(path: Path) -> Protocol:
    """A protocol from a YAML file, over its ``base`` if it has one; a wrong one is a ``UserError``."""
    content = read_yaml(path, "a protocol")
    try:
        protocol = parse_protocol(content, path.parent)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    protocol._path = str(path)
    return protocol


def parse_protocol(content: dict[str, Any], folder: Path = Path()) -> Protocol:
    """A protocol from the content of its file. ``base`` names an installed one, or a file in ``folder``, one level.

    The base gives its choices, not its name, version and paper; mappings are merged key by key.
    """
    if "base" not in content:
        return _validated(content)
    base, own = content["base"], {key: value for key, value in content.items() if key != "base"}
    if not isinstance(base, str):
        raise UserError(f"base: name a protocol or a file, not {base!r}")
    if not is_file_name(base):
        return _validated(_over(_installed(base).choices, own))
    below = read_yaml(folder / base, "a protocol")
    if "base" in below:
        raise UserError(f"base: {base} has a base itself; only one level is allowed")
    try:
        choices = _validated(below).choices
    except UserError as error:
        raise UserError(f"base: {base}: {error}") from None
    return _validated(_over(choices, own))


@cache
def _installed(name: str) -> Protocol:
    if name not in protocol_names():
        raise UserError(
            f"unknown protocol '{name}'{did_you_mean(name, protocol_names())} (rcam-bench ls protocols); "
            "one of your own is a file that ends in .yaml"
        )
    file = _FOLDER / f"{name}.yaml"
    protocol = Protocol.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    protocol._path = str(file)
    return protocol


def _over(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Mappings of ``own`` over those of ``base``, key by key."""
    merged = base | own
    for key in base.keys() & own.keys():
        if isinstance(base[key], dict) and isinstance(own[key], dict):
            merged[key] = _over(base[key], own[key])
    return merged


def _validated(content: dict[str, Any]) -> Protocol:
    try:
        return Protocol.model_validate(content)
    except ValidationError as error:
        # A key that is misspelt is missing too, under its right name.
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        place = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            models: dict[Any, type[BaseModel]] = {"preprocess": Geometry, "upsample": Upsample}
            known = [*models.get(first["loc"][0], Protocol).model_fields, *(["base"] if len(first["loc"]) == 1 else [])]
            raise UserError(f"unknown key '{place}'{did_you_mean(str(first['loc'][-1]), known)}") from None
        if first["type"] == "missing":
            cure = "add it" if place == "name" else "add it, or take it from another protocol: base: standard"
            raise UserError(f"'{place}' is missing; {cure}") from None
        reason = first["ctx"]["error"] if first["type"] == "value_error" else f"{first['msg']}, not {first['input']!r}"
        raise UserError(f"{place}: {reason}") from None
