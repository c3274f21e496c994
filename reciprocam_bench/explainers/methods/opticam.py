"""Opti-CAM: the channel weights whose map, laid on the image, leaves the class its highest logit."""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from reciprocam_bench.explainers.chunks import in_chunks
from reciprocam_bench.explainers.forward_pass import ForwardPass, of_class, usable
from reciprocam_bench.explainers.registry import explainer
from reciprocam_bench.explainers.scale import min_max


# A backward pass through the whole network costs about two forwards.
@explainer(
    "opticam",
    forwards=lambda backbone, options: 3.0 * options.get("iterations", 50),
    gradients=True,
    own_question=True,
)
def opticam(
    fp: ForwardPass,
    *,
    iterations: Annotated[int, Field(ge=1)] = 50,
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1,
) -> Tensor:
    """``sum_k softmax(u)_k ReLU(A_k)``, u of the highest ``logit_c(x * minmax(upsample(map)))`` (Zhang et al. 2023).

    arXiv 2301.07002. u starts equal and is moved by Adam; where the authors' code stops once the logit falls, the map
    of the highest logit on the way is returned. The mask is laid on the preprocessed image, as in `scorecam` (the
    authors lay it on the raw one). Cost: one forward and backward pass of the whole network an iteration. Needs
    gradients.

    Args:
        fp: the forward pass.
        iterations: steps of Adam (the authors' script: 50).
        learning_rate: of Adam (the authors' script: 0.1).
    """
    # A backward pass keeps every layer's output, not the largest alone.
    each = 8 * fp.backbone.bytes_per_image

    def best(rows: Tensor) -> Tensor:
        return _optimise(fp.select(rows, fp.classes[rows]), iterations, learning_rate)

    return torch.cat(list(in_chunks(fp.backbone, len(fp), best, bytes_each=each, progress=fp.progress, pad=False)))


def _optimise(fp: ForwardPass, iterations: int, learning_rate: float) -> Tensor:
    with torch.inference_mode(False), torch.enable_grad():
        images, features, classes = usable(fp.images), usable(fp.features).relu(), usable(fp.classes)
        u = torch.zeros_like(features[:, :, 0, 0]).requires_grad_()  # (N, C)
        # One optimiser for all images: Adam moves every number by itself, so they do not meet.
        adam = torch.optim.Adam([u], lr=learning_rate)
        best = torch.full_like(classes, -torch.inf, dtype=features.dtype)
        found = torch.zeros_like(features[:, 0])
        for _ in range(iterations):
            maps = torch.einsum("nchw,nc->nhw", features, u.softmax(1))
            logits = fp.backbone(fp.backbone.prepare(images * _mask(maps, images)))
            values = of_class(logits, classes)
            better = values.detach() > best
            best = torch.where(better, values.detach(), best)
            found = torch.where(better[:, None, None], maps.detach(), found)
            (u.grad,) = torch.autograd.grad(-values.sum(), u)
            adam.step()
    return found


def _mask(maps: Tensor, images: Tensor) -> Tensor:
    """Maps ``(N, h, w)`` upsampled and min-max normalised, ``(N, 1, H, W)``."""
    large = F.interpolate(maps[:, None], size=images.shape[2:], mode="bilinear", align_corners=False)
    return min_max(large, (2, 3))
