"""Random numbers that belong to an image: the same in any batch, chunk and resumed run."""

import zlib
from typing import Annotated

import torch
from pydantic import Field

from reciprocam_bench.explainers.forward_pass import ForwardPass

Seed = Annotated[int, Field(ge=0, lt=2**63)]


def generators(fp: ForwardPass, seed: int, stream: str = "") -> list[torch.Generator]:
    """A generator on the CPU for each image, seeded by its pixels, its class, the name of a stream and ``seed``.

    A method's stream has its name, so that no two methods, and no metric, draw the same.
    """
    # One copy each for all images: a GPU is waited for twice.
    images, classes = fp.images.cpu(), fp.classes.tolist()
    keys = [
        zlib.crc32(image.contiguous().view(torch.uint8).numpy().tobytes(), c)
        for image, c in zip(images, classes, strict=True)
    ]
    return [torch.Generator().manual_seed(zlib.crc32(stream.encode(), key) ^ seed) for key in keys]
