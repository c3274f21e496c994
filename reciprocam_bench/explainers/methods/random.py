"""Noise: a control that any explanation must beat."""

import torch
from torch import Tensor

from reciprocam_bench.backbones.backbone import moved
from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.explainers.noise import Seed, generators
from reciprocam_bench.explainers.registry import explainer


@explainer("random", forwards=lambda backbone, options: 0.1, random=True, control=True)
def random(fp: ForwardPass, *, seed: Seed = 0) -> Tensor:
    """Uniform noise at feature resolution; the same for the same image, class and ``seed`` in any batch and run.

    Cost: nothing beside the shared forward.

    Args:
        fp: the forward pass.
        seed: of the noise.
    """
    h, w = fp.features.shape[2:]
    drawn = [torch.rand(h, w, generator=g) for g in generators(fp, seed, "random")]
    return moved(torch.stack(drawn), fp.features.device)
