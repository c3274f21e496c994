"""Small steps around `explain` for use without a config: pictures to inputs, maps to what people look at."""

from collections.abc import Sequence
from os import PathLike, fspath

import torch
from PIL import Image
from torch import Tensor

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.datasets import images as files
from reciprocam_bench.datasets.images import Preparation, picture_of, preparation
from reciprocam_bench.errors import UserError
from reciprocam_bench.pictures import COLORMAP, STRENGTH, check_colormap
from reciprocam_bench.pictures import overlay as lay_over
from reciprocam_bench.protocols.maps import normalise, on_original
from reciprocam_bench.protocols.protocol import load_protocol


def read_picture(path: str | PathLike[str]) -> Image.Image:
    """An image file as 8-bit RGB, of whatever mode it is (16-bit grey is stretched from its own range).

    Raises ``UserError`` for what is no readable image.
    """
    try:
        return files.read_picture(fspath(path)).image
    except ValueError as error:
        raise UserError(f"{fspath(path)}: {error}; give an image file") from None


def preprocess(backbone: Backbone, pictures: Sequence[Image.Image], protocol: str | None = None) -> Tensor:
    """Pictures as inputs ``(N, C, H, W)`` on the backbone's device: resized, cropped and normalised.

    As the model wants them, or as a protocol cuts them (with the model's own mean and standard deviation). Pictures of
    any of Pillow's modes are taken by the rules of `read_picture`. Raises ``UserError`` for pictures that cannot be
    prepared, or do not come to one size.
    """
    if isinstance(pictures, Image.Image) or not pictures:
        raise UserError("preprocess takes a list of pictures, one at least: [picture]")
    prepare = _preparation(backbone, protocol)
    try:
        inputs = [prepare.tensor(prepare.picture(picture_of(picture))) for picture in pictures]
    except ValueError as error:
        raise UserError(f"a picture cannot be prepared: {error}") from None
    sizes = {tuple(one.shape[1:]) for one in inputs}
    if len(sizes) > 1:
        raise UserError(
            f"the pictures come to {len(sizes)} sizes under {protocol}, which does not crop; give them one by one"
        )
    return backbone.prepare(torch.stack(inputs))


def min_max(maps: Tensor) -> Tensor:
    """Each map of ``(N, h, w)`` scaled to [0, 1]; one that is constant or not finite marks nothing and becomes 0."""
    return normalise(maps)


def on_picture(backbone: Backbone, picture: Image.Image, cam: Tensor, protocol: str | None = None) -> Tensor:
    """A raw map ``(h, w)`` on the picture's own pixels, ``(height, width)`` in [0, 1]; 0 where the crop cut off.

    ``protocol`` is that of `preprocess`.
    """
    geometry = _preparation(backbone, protocol).geometry
    return on_original(normalise(cam[None].float()), geometry, *picture.size)[0]


def overlay(
    backbone: Backbone,
    picture: Image.Image,
    cam: Tensor,
    protocol: str | None = None,
    strength: float = STRENGTH,
    colormap: str = COLORMAP,
) -> Image.Image:
    """The whole picture under its raw map ``(h, w)`` in colours, plain where the crop cut off.

    ``protocol`` is that of `preprocess`, ``colormap`` one of matplotlib's. Raises ``UserError`` for an unknown one.
    """
    check_colormap(colormap, "colormap")
    view = _preparation(backbone, protocol).geometry.view(*picture.size)
    heat = on_picture(backbone, picture, cam, protocol).cpu().numpy()
    return lay_over(picture_of(picture).image, heat, strength, colormap, view)


def _preparation(backbone: Backbone, protocol: str | None) -> Preparation:
    channels = len(backbone.preprocessing.mean)
    if channels not in (1, 3):
        raise UserError(f"pictures are grey or RGB; a network of {channels} channels takes tensors alone")
    geometry = load_protocol(protocol or "poppi-2021").preprocess
    return preparation(geometry, backbone.preprocessing, use_model_geometry=protocol is None)
