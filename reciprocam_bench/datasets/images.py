"""Read image files and prepare them for a network."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms import functional as T

from reciprocam_bench.backbones.backbone import Preprocessing
from reciprocam_bench.protocols.protocol import Geometry
from reciprocam_bench.regular import not_a_file
from reciprocam_bench.shared_scope import SharedScope

# A file cut short would otherwise be filled up with grey and judged.
ImageFile.LOAD_TRUNCATED_IMAGES = False

# Beyond this a picture is no longer prepared: one of 1 x 30000 pixels would become 256 x 7680000.
_MOST_PIXELS = 2**22
_PAGE = (255, 255, 255)  # what transparent pixels lie on: most such pictures were drawn for a white page


class Picture(NamedTuple):
    """What an image file shows.

    Attributes:
        image: its stored pixels as 8-bit RGB.
        stretched: the file's mode (``I;16``, ``I``, ``F``) if its values were stretched from their own range, else "".
        turned: whether it was turned upright, as its EXIF says.
    """

    image: Image.Image
    stretched: str = ""
    turned: bool = False


@dataclass(frozen=True)
class Preparation:
    """Resize, centre crop, and channel statistics: from a picture to a network's input."""

    geometry: Geometry
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def check(self, original: Picture) -> None:
        """Raise ``ValueError`` for a picture so long and thin that resizing it would take all memory."""
        g, size = self.geometry, original.image.size
        across, down = g.resized(*size)
        if across * down > max(_MOST_PIXELS, 4 * g.size**2):
            sides = f"{size[0]} x {size[1]} pixels would become {across} x {down}"
            raise ValueError(f"extreme sides: {sides}, more than {_MOST_PIXELS:,}")

    def picture(self, original: Picture) -> Image.Image:
        """The RGB picture the network sees, before normalisation; ``ValueError`` as `check`."""
        self.check(original)
        g = self.geometry
        across, down = g.resized(*original.image.size)
        resized = T.resize(original.image, [down, across], T.InterpolationMode(g.interpolation))
        return resized if g.crop is None else T.center_crop(resized, [g.crop, g.crop])

    def tensor(self, picture: Image.Image) -> Tensor:
        """``(C, H, W)``, normalised; a network of one channel gets grey."""
        seen = picture.convert("L") if len(self.mean) == 1 else picture
        return T.normalize(T.to_tensor(seen), list(self.mean), list(self.std))


def preparation(geometry: Geometry, model: Preprocessing, use_model_geometry: bool = False) -> Preparation:
    """The protocol's geometry, or the model's own, with the model's channel statistics."""
    return Preparation(model_geometry(model) if use_model_geometry else geometry, model.mean, model.std)


def model_geometry(model: Preprocessing) -> Geometry:
    """How a model wants its images cut."""
    return Geometry(
        resize="squash" if model.squash else "shorter-side",
        size=model.resize,
        crop=model.crop,
        interpolation=model.interpolation,  # type: ignore[arg-type]
    )


def read_picture(path: str, *, upright: bool = False) -> Picture:
    """Read an image file; whatever is wrong with it becomes a ``ValueError`` with a short reason.

    By the mode Pillow opens the file in (docs/datasets.md has the reasons):

    * ``L``, ``RGB``, ``P``, ``1``, ``CMYK``, ``YCbCr``, ``LAB``: Pillow's conversion to RGB.
    * transparency of any kind: what shows on a white page, ``c·a + 255·(1 - a)``.
    * more than 8 bits a pixel (``I;16``, ``I``, ``F``): grey, stretched from the file's own range to 0 to 255.
    * several frames: the first. EXIF rotation: not applied, unless ``upright``.
    """
    if reason := not_a_file(path):
        raise ValueError(f"unreadable image: the file {reason}")
    try:
        with _silently(), Image.open(path) as opened:
            turned = upright and _is_turned(opened)
            return picture_of(ImageOps.exif_transpose(opened) if turned else opened)._replace(turned=turned)
    except UnidentifiedImageError:
        raise ValueError("unreadable image: of no format that Pillow knows") from None
    except Exception as error:  # what is no whole image breaks Pillow's readers in every way there is
        reason = " ".join(str(error).replace(path, "file").split()) or type(error).__name__
        raise ValueError(f"unreadable image: {reason[:120]}") from None


@contextmanager
def _silence() -> Iterator[None]:
    """Keep Pillow's warnings, and the lines that libtiff writes past Python, from the terminal.

    What is wrong with a file ends in its reason; what can be read in spite of it is used.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            terminal = os.dup(2)
        except OSError:  # a process without one
            yield
            return
        try:
            with Path(os.devnull).open("wb") as nothing:
                os.dup2(nothing.fileno(), 2)
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


_silently = SharedScope(_silence)


def picture_of(image: Image.Image) -> Picture:
    """An image of any of Pillow's modes as 8-bit RGB, by the rules of `read_picture`; ``ValueError`` for NaN in it."""
    if image.mode.startswith(("I", "F")):
        return Picture(_stretch(np.asarray(image)), image.mode)
    return Picture(_on_the_page(image) if image.has_transparency_data else image.convert("RGB"))


def _is_turned(image: Image.Image) -> bool:
    """Whether EXIF says that the stored pixels are turned or mirrored; of damaged EXIF nothing is known."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
    except Exception:  # what is no whole EXIF breaks Pillow's reader in every way there is
        return False


def stretched_note(mode: str, count: int) -> str:
    """What a user should know of images whose values were stretched."""
    images = "1 image" if count == 1 else f"{count} images"
    return f"{images} of mode {mode} stretched, each from its own range to 0 to 255 (docs/datasets.md)"


def _stretch(values: np.ndarray) -> Image.Image:
    """Grey of any depth, ``(H, W)``, as RGB: its smallest value black, its largest white; a single value is black.

    How many of its bits a file uses is not in the file: dividing a 12-bit X-ray by 65535 leaves it almost black.
    """
    values = values.astype(np.float64)
    low, high = values.min(), values.max()
    if not np.isfinite(high - low):
        raise ValueError("it holds NaN or infinite values")
    grey = np.rint((values - low) / ((high - low) or 1) * 255)
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")


def _on_the_page(image: Image.Image) -> Image.Image:
    layer = image.convert("RGBA")
    page = Image.new("RGB", layer.size, _PAGE)
    page.paste(layer, mask=layer.getchannel("A"))
    return page


class PreparedImage(NamedTuple):
    """An input ``(C, H, W)``, the (width, height) of the file it was made from, and its `Picture`'s ``stretched``."""

    tensor: Tensor
    size: tuple[int, int]
    stretched: str = ""


class PreparedImages(torch.utils.data.Dataset[PreparedImage | str]):
    """Map-style data set for a ``DataLoader``: each item is a prepared image, or the reason it is none."""

    def __init__(self, paths: list[str], prepare: Preparation) -> None:
        self._paths = paths
        self._prepare = prepare

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> PreparedImage | str:
        try:
            original = read_picture(self._paths[index])
            seen = self._prepare.picture(original)
        except ValueError as error:
            return str(error)
        prepared = self._prepare.tensor(seen)
        return PreparedImage(prepared, original.image.size, original.stretched)
