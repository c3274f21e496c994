"""Max-sensitivity, through captum: how far a map moves when the image hardly does."""

from typing import Any

import torch
from torch import Tensor

from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.metrics.by_captum import CAPTUM, DRAWS, Count, Size, draws_of, noise_of
from reciprocam_bench.metrics.perturbed import Ask
from reciprocam_bench.metrics.registry import metric


@metric("max_sensitivity", title="Max-sensitivity", higher_is_better=False, explains=draws_of, requires=CAPTUM)
def max_sensitivity(fp: ForwardPass, raw: Tensor, explain: Ask, *, draws: Count = DRAWS, radius: Size = 0.02) -> Tensor:
    """Largest ``|Phi(x + d) - Phi(x)| / |Phi(x)|`` over noise d (Yeh et al. 2019, 1901.09392), ``(N,)``, by captum.

    Phi is the raw map, d uniform in [-radius, radius] for each value of the normalised image, ``draws`` times. A
    method that draws random numbers draws others for another image.

    Pitfall: a map that is the same for every picture is perfect.
    """
    from captum.metrics import sensitivity_max

    noise = noise_of(fp, lambda image, generator: radius * (2 * torch.rand(image, generator=generator) - 1))

    def explained(images: Any, additional_forward_args: Tensor) -> Any:
        # captum asks about the images themselves with a tuple, and wants one back.
        return (raw,) if isinstance(images, tuple) else explain(images, additional_forward_args)

    return sensitivity_max(
        explained,
        fp.images,
        lambda images: images + next(noise),
        n_perturb_samples=draws,
        max_examples_per_batch=len(fp),
        additional_forward_args=torch.arange(len(fp), device=fp.images.device),
    )
