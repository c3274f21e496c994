"""Infidelity, through captum: whether a map predicts what a small change of the image costs."""

import torch
from torch import Tensor

from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.metrics.by_captum import CAPTUM, DRAWS, Count, Size, draws_of, noise_of
from reciprocam_bench.metrics.perturbed import Ask
from reciprocam_bench.metrics.registry import metric


@metric(
    "infidelity",
    title="Infidelity",
    higher_is_better=False,
    forwards=lambda options: draws_of(options) + 1,
    requires=CAPTUM,
)
def infidelity(fp: ForwardPass, saliency: Tensor, ask: Ask, *, draws: Count = DRAWS, sigma: Size = 0.003) -> Tensor:
    """Mean of ``(sum I M - (f(x) - f(x - I)))^2`` over noise I, f the logit (Yeh et al. 2019, 1901.09392), ``(N,)``.

    By captum, with its scaling of the map to the least error (a map has no unit of its own). I is N(0, sigma^2) for
    each pixel and channel, ``draws`` times, of a stream that belongs to image and class.

    Pitfall: noise this small asks about the network's gradient, not about what an object weighs.
    """
    from captum.metrics import infidelity as by_captum

    noise = noise_of(fp, lambda image, generator: sigma * torch.randn(image, generator=generator))

    def perturbed(images: Tensor) -> tuple[Tensor, Tensor]:
        change = next(noise)
        return change, images - change

    rows = torch.arange(len(fp), device=fp.images.device)
    score = ask(fp.images, rows, logits=True)  # captum asks for it again with every draw

    def answered(images: Tensor, rows: Tensor) -> Tensor:
        return score if images is fp.images else ask(images, rows, logits=True)

    return by_captum(
        answered,
        perturbed,
        fp.images,
        saliency[:, None].expand_as(fp.images),
        additional_forward_args=rows,
        n_perturb_samples=draws,
        max_examples_per_batch=len(fp),
        normalize=True,
    )
