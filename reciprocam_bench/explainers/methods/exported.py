"""The maps that an exported model gives itself."""

from typing import Any

from torch import Tensor

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.explainers.registry import explainer


def _check(backbone: Backbone, options: dict[str, Any]) -> None:
    if backbone.own_maps is None:
        raise UserError(
            f"{backbone.name} gives no maps of its own; write a file that does with rcam-bench export, or take "
            "blackboxreciprocam"
        )


@explainer("exported", check=_check, own_forward=True)
def exported(fp: ForwardPass) -> Tensor:
    """The output ``maps`` of a file of ``rcam-bench export``, ``(N, h, w)``, as it was exported.

    Cost: one run of the file. No gradients.

    Raises:
        ValueError: for classes whose maps the file does not give.
    """
    _check(fp.backbone, {})
    assert fp.backbone.own_maps is not None
    return fp.backbone.own_maps(fp.images, fp.classes)
