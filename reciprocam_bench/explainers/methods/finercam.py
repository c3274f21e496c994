"""FinerCAM: what speaks for a class and not for the classes most like it."""

from dataclasses import replace
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import ForwardPass, of_class, usable
from reciprocam_bench.explainers.registry import EXPLAINERS, explainer


def similar_classes(logits: Tensor, classes: Tensor, count: int) -> Tensor:
    """The ``count`` classes whose logits are nearest to the class's own, ``(N, K), (N,) -> (N, count)``."""
    distance = (logits - of_class(logits, classes)[:, None]).abs()
    distance = distance.scatter(1, classes[:, None], torch.inf)
    return distance.topk(min(count, logits.shape[1] - 1), largest=False).indices


def _check(backbone: Backbone, options: dict[str, Any]) -> None:
    base = options.get("base", "gradcam")
    spec = EXPLAINERS.get(base)
    if not spec.gradients or spec.own_question:
        raise UserError(f"base '{base}' differentiates no logit; take gradcam, gradcam++ or layercam")
    spec.check(backbone, {})
    if backbone.num_classes < 2:
        raise UserError(f"{backbone.name} has one class only; there is none to compare with")


@explainer(
    "finercam",
    forwards=lambda backbone, options: EXPLAINERS.get(options.get("base", "gradcam")).forwards(backbone, {}),
    check=_check,
    gradients=True,
    own_question=True,
)
def finercam(
    fp: ForwardPass,
    *,
    base: str = "gradcam",
    gamma: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.6,
    references: Annotated[int, Field(ge=1)] = 3,
) -> Tensor:
    """A gradient CAM of ``logit_c - gamma mean_d logit_d`` (Zhang et al. 2025, arXiv 2501.11309).

    ``d`` runs over the classes whose logits are nearest to that of ``c``. The map has the size of that of ``base``.
    Cost: that of ``base``. Needs gradients.

    Args:
        fp: the forward pass.
        base: the gradient method that is asked.
        gamma: how strongly the similar classes are held against it; 0 is the base method.
        references: how many similar classes.
    """
    _check(fp.backbone, {"base": base})
    # Chosen once, before anything is differentiated; a base that runs other images compares with the same classes.
    others = similar_classes(fp.logits, fp.classes, references)  # (N, R)

    def contrast(logits: Tensor, classes: Tensor) -> Tensor:
        return of_class(logits, classes) - gamma * logits.gather(1, usable(others)).mean(1)

    return EXPLAINERS.get(base).function(replace(fp, score=contrast))
