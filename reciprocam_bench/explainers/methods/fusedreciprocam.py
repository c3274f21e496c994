"""Recipro-CAM at several layers, fused to one map."""

from typing import Any, Literal

from torch import Tensor

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.explainers.layers import check_layers, maps_of_layers
from reciprocam_bench.explainers.masks import Mask, Score
from reciprocam_bench.explainers.registry import EXPLAINERS, explainer

_COARSEST = 2


def _check(backbone: Backbone, options: dict[str, Any]) -> None:
    for layer in check_layers(backbone, options.get("layers"), _COARSEST):
        EXPLAINERS.get("reciprocam").check(backbone.at(layer), {})


@explainer("fusedreciprocam", forwards=lambda backbone, options: 50.0, check=_check, fuses_layers=True)
def fusedreciprocam(
    fp: ForwardPass,
    *,
    layers: list[str] | None = None,
    fuse: Literal["mean", "product", "max"] = "mean",
    mask: Mask = "one-hot",
    score: Score = "softmax",
) -> Tensor:
    """``mean_l upsample(minmax(ReLU(M_l)))``, ``M_l`` the Recipro-CAM of layer l (2209.14074, several scales).

    The map has the size of the finest layer. Cost: a forward up to each layer, and a pass of what lies behind it for
    each of its positions. No gradients.

    Args:
        fp: the forward pass.
        layers: names of cuts; the last ones of the two coarsest resolutions if left out.
        fuse: how the normalised maps become one.
        mask: as in `reciprocam`.
        score: as in `reciprocam`.
    """
    chosen = check_layers(fp.backbone, layers, _COARSEST)
    maps = maps_of_layers(fp, "reciprocam", {"mask": mask, "score": score}, chosen)  # (L, N, h, w)
    return maps.prod(0) if fuse == "product" else maps.amax(0) if fuse == "max" else maps.mean(0)
