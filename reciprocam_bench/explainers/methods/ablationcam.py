"""Ablation-CAM: channels weighted by what the class loses without them."""

from typing import Literal

import torch
from torch import Tensor

from reciprocam_bench.explainers.chunks import in_chunks
from reciprocam_bench.explainers.closed_form import closed_form_must_hold, closed_form_or_head
from reciprocam_bench.explainers.forward_pass import ForwardPass, of_class
from reciprocam_bench.explainers.registry import explainer

Path = Literal["auto", "closed-form", "batched-head"]


def closed_form(fp: ForwardPass) -> Tensor:
    """Fall of the class logit without each channel, ``(N, C)``: behind a pooled linear head ``W_ck mean(A_k)``."""
    linear = fp.backbone.linear
    assert linear is not None
    return linear.weight[fp.classes] * fp.features.mean((2, 3))


def batched_head(fp: ForwardPass) -> Tensor:
    """The same for any head, which runs on one copy of the feature map for each channel, in chunks."""
    n, c, h, w = fp.features.shape

    def without(rows: Tensor) -> Tensor:
        images, channels = rows // c, rows % c
        ablated = fp.features[images]  # (rows, C, h, w), a copy
        ablated[torch.arange(len(rows), device=rows.device), channels] = 0
        return of_class(fp.head(ablated, images), fp.classes[images])

    each = 4 * c * h * w * fp.features.element_size()
    with torch.no_grad():
        left = torch.cat(list(in_chunks(fp.backbone, n * c, without, bytes_each=each, progress=fp.progress)))
    return of_class(fp.logits, fp.classes)[:, None] - left.view(n, c)


@explainer(
    "ablationcam",
    forwards=lambda backbone, options: (
        1.0 if closed_form_or_head(backbone, options) == "closed-form" else 1 + 0.1 * backbone.feature_shape[0]
    ),
    implementation=closed_form_or_head,
    check=closed_form_must_hold,
)
def ablationcam(fp: ForwardPass, *, path: Path = "auto") -> Tensor:
    """``ReLU(sum_k w_k A_k)``, ``w_k = (y - y_k) / |y|`` (Desai & Ramaswamy 2020, 10.1109/WACV45572.2020.9093360).

    ``y`` is the class logit, ``y_k`` that with channel k set to 0. The paper divides by ``y``; its absolute value keeps
    the map of a class with a negative logit from being turned inside out, and changes nothing for any other.

    Cost: the shared forward and one head pass a channel, or one product where the head is pooled and linear. No
    gradients.

    Args:
        fp: the forward pass.
        path: two ways to the same numbers; ``auto`` takes the cheapest that holds.
    """
    closed_form_must_hold(fp.backbone, {"path": path})
    fall = closed_form(fp) if closed_form_or_head(fp.backbone, {"path": path}) == "closed-form" else batched_head(fp)
    y = of_class(fp.logits, fp.classes).abs()
    weights = fall / torch.where(y > 0, y, 1.0)[:, None]
    return torch.einsum("nchw,nc->nhw", fp.features, weights).relu()
