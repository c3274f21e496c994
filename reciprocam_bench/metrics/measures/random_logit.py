"""Random logit: whether another class has another map."""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.explainers.noise import generators
from reciprocam_bench.metrics.perturbed import Ask
from reciprocam_bench.metrics.registry import metric
from reciprocam_bench.protocols.maps import normalise

_WINDOW = 7


@metric("random_logit", title="Random logit", higher_is_better=False, explains=1)
def random_logit(
    fp: ForwardPass, raw: Tensor, explain: Ask, *, seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
) -> Tensor:
    """SSIM of the maps of the class and of another one, drawn at random for each image (Sixt et al. 2020), ``(N,)``.

    In [-1, 1]; 1 for a method that is blind to classes. Maps are compared normalised, bilinearly at image size.

    Pitfall: two classes that share what is seen may rightly have maps alike.
    """
    count = fp.backbone.num_classes
    if count < 2:
        raise ValueError("the network has one class; there is no other to explain")
    steps = [1 + int(torch.randint(count - 1, (), generator=g)) for g in generators(fp, seed)]
    others = (fp.classes + torch.tensor(steps, device=fp.classes.device)) % count
    maps = explain(fp.images, torch.arange(len(fp), device=others.device), classes=others)
    size = fp.images.shape[2:]
    one, other = (F.interpolate(normalise(m)[:, None], size=size, mode="bilinear") for m in (raw, maps))
    return ssim(one, other)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of maps in [0, 1], ``(N, 1, H, W)`` each, ``(N,)`` (Wang et al. 2004).

    As scikit-image takes it: 7x7 windows of even weight that lie inside the map, sample covariances, K = 0.01 and 0.03.
    """
    window = min(_WINDOW, *a.shape[2:])

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, window, stride=1)

    unbiased = window**2 / max(1, window**2 - 1)
    ma, mb = mean(a), mean(b)
    variances = unbiased * (mean(a * a) - ma * ma + mean(b * b) - mb * mb)
    covariance = unbiased * (mean(a * b) - ma * mb)
    alike = (2 * ma * mb + 0.01**2) * (2 * covariance + 0.03**2)
    return (alike / ((ma * ma + mb * mb + 0.01**2) * (variances + 0.03**2))).mean((1, 2, 3))
