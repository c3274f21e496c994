"""Infidelity and max-sensitivity, through captum."""

from collections.abc import Callable
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.explainers.noise import generators
from reciprocam_bench.metrics.perturbed import Ask
from reciprocam_bench.metrics.registry import metric

Count = Annotated[int, Field(ge=1, le=1000)]
Size = Annotated[float, Field(gt=0)]
_SEED, _DRAWS = 0, 10
_CAPTUM = {"captum": "pip install captum"}


def _draws(options: dict[str, Any]) -> int:
    return options.get("draws", _DRAWS)


@metric(
    "infidelity",
    title="Infidelity",
    higher_is_better=False,
    forwards=lambda options: _draws(options) + 1,
    requires=_CAPTUM,
)
def infidelity(fp: ForwardPass, saliency: Tensor, ask: Ask, *, draws: Count = _DRAWS, sigma: Size = 0.003) -> Tensor:
    """Mean of ``(sum I M - (f(x) - f(x - I)))^2`` over noise I, f the logit (Yeh et al. 2019, 1901.09392), ``(N,)``.

    By captum, with its scaling of the map to the least error (a map has no unit of its own). I is N(0, sigma^2) for
    each pixel and channel, ``draws`` times, of a stream that belongs to image and class.
    """
    from captum.metrics import infidelity as by_captum

    noise = _noise(fp, lambda image, generator: sigma * torch.randn(image, generator=generator))

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


@metric("max_sensitivity", title="Max-sensitivity", higher_is_better=False, explains=_draws, requires=_CAPTUM)
def max_sensitivity(
    fp: ForwardPass, raw: Tensor, explain: Ask, *, draws: Count = _DRAWS, radius: Size = 0.02
) -> Tensor:
    """Largest ``|Phi(x + d) - Phi(x)| / |Phi(x)|`` over noise d (Yeh et al. 2019, 1901.09392), ``(N,)``, by captum.

    Phi is the raw map, d uniform in [-radius, radius] for each value of the normalised image, ``draws`` times. A
    method that draws random numbers draws others for another image.
    """
    from captum.metrics import sensitivity_max

    noise = _noise(fp, lambda image, generator: radius * (2 * torch.rand(image, generator=generator) - 1))

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


def _noise(fp: ForwardPass, draw: Callable[[torch.Size, torch.Generator], Tensor]) -> Any:
    """For ever: a draw for each image of the batch, ``(N, C, H, W)``."""
    streams = generators(fp, _SEED)
    while True:
        yield torch.stack([draw(fp.images.shape[1:], stream) for stream in streams]).to(fp.images)
