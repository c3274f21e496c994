"""Smooth Grad-CAM++: Grad-CAM++ with gradients averaged over noisy copies of the image."""

from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from reciprocam_bench.backbones.backbone import moved
from reciprocam_bench.explainers.forward_pass import ForwardPass, head_gradients
from reciprocam_bench.explainers.noise import Seed, generators
from reciprocam_bench.explainers.pixel_weights import pixel_weights
from reciprocam_bench.explainers.registry import explainer


@explainer(
    "smoothgradcam++",
    aliases=("smoothgradcampp",),
    forwards=lambda backbone, options: options.get("samples", 4) + 1.0,
    gradients=True,
    random=True,
)
def smoothgradcampp(
    fp: ForwardPass,
    *,
    samples: Annotated[int, Field(ge=1)] = 4,
    std: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.3,
    seed: Seed = 0,
) -> Tensor:
    """``ReLU(sum_k w_k A_k)``, ``w_k = sum_ij a_kij ReLU(D1)`` (Omeiza et al. 2019, arXiv 1908.01224).

    ``Dp = mean_m g_m^p`` over noisy images, ``g_m = d logit_c / dA`` on the m-th, and ``a = D2 / (2 D2 + sum_ab A_kab
    D3)``. The paper prints ``D1`` in the numerator of ``a``; with ``D2`` one noiseless sample is Grad-CAM++, which is
    what the text describes and torch-cam does.

    Cost: one forward and head backward a sample. Needs gradients.

    Args:
        fp: the forward pass.
        samples: noisy copies of each image.
        std: of the Gaussian noise, in units of the preprocessed image.
        seed: of the noise, which is the same for the same image and class in any batch and run.
    """
    draws = generators(fp, seed, "smoothgradcam++")
    noise = [torch.stack([_normal(fp.images[0], g) for _ in range(samples)]) for g in draws]
    powers = [torch.zeros_like(fp.features) for _ in range(3)]
    for m in range(samples):
        images = fp.images + std * moved(torch.stack([n[m] for n in noise]), fp.images.device, fp.images.dtype)
        with torch.no_grad():
            features, context = fp.backbone.encode(fp.backbone.prepare(images))
        gradients = head_gradients(replace(fp, images=images, features=features, context=context))
        powers = [total + gradients**p / samples for p, total in enumerate(powers, start=1)]
        fp.progress((m + 1) / samples)
    first, second, third = powers
    weights = (pixel_weights(fp.features, second, third) * first.relu()).sum((2, 3))  # (N, C)
    return torch.einsum("nchw,nc->nhw", fp.features, weights).relu()


def _normal(image: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(image.shape, generator=generator)
