"""Random numbers that belong to an image: the same in any batch, chunk and resumed run."""

import zlib
from typing import Annotated

import torch
from pydantic import Field

from reciprocam_bench.explainers.forward_pass import ForwardPass

Seed = Annotated[int, Field(ge=0, lt=2**63)]


def generators(fp: ForwardPass, seed: int) -> list[torch.Generator]:
    """A generator on the CPU for each image, seeded by its pixels, its class and ``seed``."""
    # One copy each for all images: a GPU is waited for twice.
    images, classes = fp.images.cpu(), fp.classes.tolist()
    keys = [
        zlib.crc32(image.contiguous().view(torch.uint8).numpy().tobytes(), c)
        for image, c in zip(images, classes, strict=True)
    ]
    return [torch.Generator().manual_seed(key ^ seed) for key in keys]
