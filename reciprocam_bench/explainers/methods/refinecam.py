"""RefineCAM: a method's maps at several layers, multiplied."""

from typing import Any

from torch import Tensor

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.explainers.layers import check_layers, maps_of_layers
from reciprocam_bench.explainers.registry import EXPLAINERS, explainer

_COARSEST = 3


def _check(backbone: Backbone, options: dict[str, Any]) -> None:
    base = options.get("base", "gradcam++")
    if EXPLAINERS.get(base).fuses_layers:
        raise UserError(f"base '{base}' fuses layers itself; take a method of one layer")
    for layer in check_layers(backbone, options.get("layers"), _COARSEST):
        EXPLAINERS.get(base).check(backbone.at(layer), {})


@explainer(
    "refinecam",
    forwards=lambda backbone, options: 3 * EXPLAINERS.get(options.get("base", "gradcam++")).forwards(backbone, {}),
    check=_check,
    gradients=True,
    fuses_layers=True,
)
def refinecam(fp: ForwardPass, *, base: str = "gradcam++", layers: list[str] | None = None) -> Tensor:
    """``prod_l upsample(minmax(ReLU(M_l)))``, ``M_l`` the map of ``base`` at layer l (Domeniconi et al. 2026).

    arXiv 2605.14641. The map has the size of the finest layer. Cost: that of ``base`` and a forward up to each layer.
    Needs gradients if ``base`` does.

    Args:
        fp: the forward pass.
        base: the method whose maps are multiplied (the paper's is Grad-CAM++).
        layers: names of cuts; the last ones of the three coarsest resolutions if left out (torch-cam's example).
    """
    return maps_of_layers(fp, base, {}, check_layers(fp.backbone, layers, _COARSEST)).prod(0)
