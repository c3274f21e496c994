"""One method's maps at several layers, brought to one size: for methods that fuse them."""

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.explainers.registry import EXPLAINERS
from reciprocam_bench.explainers.scale import min_max


def check_layers(backbone: Backbone, layers: list[str] | None, coarsest: int) -> list[str]:
    """The layers to fuse, the last cuts of the ``coarsest`` resolutions if None; ``UserError`` for one that is no cut.

    Finer ones are not taken unasked: their maps are noise to most methods, and cost Recipro-CAM thousands of passes.
    """
    if layers is not None and not layers:
        raise UserError(f"layers: the list is empty; name layers, or leave it out for the {coarsest} coarsest")
    chosen = list(backbone.stages()[-coarsest:]) if layers is None else layers
    for layer in chosen:
        backbone.at(layer)
    return chosen


def maps_of_layers(fp: ForwardPass, base: str, options: dict[str, Any], layers: list[str]) -> Tensor:
    """Maps of ``base`` at each layer, after ReLU and min-max upsampled to the finest layer's size, ``(L, N, h, w)``."""
    function = EXPLAINERS.get(base).function
    maps = [
        min_max(function(_part(fp.at(layer), i, len(layers)), **options).detach().relu(), (1, 2))
        for i, layer in enumerate(layers)
    ]
    size = max((m.shape[1:] for m in maps), key=lambda side: side[0] * side[1])
    return torch.stack([F.interpolate(m[:, None], size=size, mode="bilinear")[:, 0] for m in maps])


def _part(fp: ForwardPass, index: int, parts: int) -> ForwardPass:
    """The same pass, whose progress is that of one part of the work."""
    return replace(fp, progress=lambda share: fp.progress((index + share) / parts))
