"""Read image files and prepare them for a network."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageFile
from torch import Tensor
from torchvision.transforms import functional as T

from reciprocam_bench.backbones.backbone import Preprocessing
from reciprocam_bench.protocols.protocol import Geometry

# A file cut short would otherwise be filled up with grey and judged.
ImageFile.LOAD_TRUNCATED_IMAGES = False


@dataclass(frozen=True)
class Preparation:
    """Resize, centre crop, and channel statistics: from a picture to a network's input."""

    geometry: Geometry
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def picture(self, image: Image.Image) -> Image.Image:
        """The RGB picture the network sees, before normalisation."""
        g = self.geometry
        across, down = g.resized(*image.size)
        resized = T.resize(image.convert("RGB"), [down, across], T.InterpolationMode(g.interpolation))
        return resized if g.crop is None else T.center_crop(resized, [g.crop, g.crop])

    def tensor(self, picture: Image.Image) -> Tensor:
        """``(3, H, W)``, normalised."""
        return T.normalize(T.to_tensor(picture), list(self.mean), list(self.std))


def preparation(geometry: Geometry, model: Preprocessing, use_model_geometry: bool = False) -> Preparation:
    """The protocol's geometry, or the model's own, with the model's channel statistics."""
    if use_model_geometry:
        geometry = Geometry(
            resize="squash" if model.squash else "shorter-side",
            size=model.resize,
            crop=model.crop,
            interpolation=model.interpolation,  # type: ignore[arg-type]
        )
    return Preparation(geometry, model.mean, model.std)


def read_picture(path: str) -> Image.Image:
    """Open an image file as RGB; whatever is wrong with it becomes a ``ValueError`` with a short reason."""
    try:
        with Image.open(path) as image:
            # Pillow's own conversion cuts 16-bit grey off at 255 instead of scaling it.
            if image.mode.startswith("I"):
                grey = (np.asarray(image).clip(0, 65535) / 257).round().astype(np.uint8)
                return Image.fromarray(grey).convert("RGB")
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"unreadable image: {str(error).replace(path, 'file')[:120]}") from None


class PreparedImage(NamedTuple):
    """An input ``(3, H, W)``, and the (width, height) of the file it was made from."""

    tensor: Tensor
    size: tuple[int, int]


class PreparedImages(torch.utils.data.Dataset[PreparedImage | str]):
    """Map-style data set for a ``DataLoader``: each item is a prepared image, or the reason it is none."""

    def __init__(self, paths: list[str], prepare: Preparation) -> None:
        self._paths = paths
        self._prepare = prepare

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> PreparedImage | str:
        try:
            picture = read_picture(self._paths[index])
        except ValueError as error:
            return str(error)
        return PreparedImage(self._prepare.tensor(self._prepare.picture(picture)), picture.size)
