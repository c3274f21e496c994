"""Noise: a control that any explanation must beat."""

import zlib

import torch
from torch import Tensor

from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.explainers.registry import explainer


@explainer("random", forwards=lambda backbone, options: 0.1)
def random(fp: ForwardPass, *, seed: int = 0) -> Tensor:
    """Uniform noise at feature resolution; the same for the same image, class and ``seed`` in any batch and run."""
    h, w = fp.features.shape[2:]
    return torch.stack([_noise(image, int(c), seed, h, w) for image, c in zip(fp.images, fp.classes, strict=True)])


def _noise(image: Tensor, class_index: int, seed: int, h: int, w: int) -> Tensor:
    # The image's own bytes are the seed, so that neither batches nor a resumed run change it.
    key = zlib.crc32(image.cpu().contiguous().numpy().tobytes(), class_index) ^ seed
    return torch.rand(h, w, generator=torch.Generator().manual_seed(key)).to(image.device)
