"""Where else a split network can be cut."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.backbones.ways import stage_names


@dataclass
class NetworkCuts:
    """The cuts of one frozen network, found when they are asked for; all share its weights.

    Attributes:
        module: the frozen network.
        example: ``(N, 3, H, W)``, on its device.
        split: cuts the network at a named layer.
        own: the backbone these cuts belong to.
        known: the backbones made so far, by layer.
    """

    module: nn.Module
    example: Tensor
    split: Callable[[str], Backbone]
    own: Backbone
    known: dict[str, Backbone] = field(default_factory=dict)

    def of_own(self) -> Backbone:
        """The backbone itself, with these cuts."""
        self.known[self.own.layer] = self.own = replace(self.own, cuts=self)
        return self.own

    def at(self, layer: str) -> Backbone:
        """The same network, weights and device, cut at another layer; ``UserError`` for one that is no cut."""
        if layer not in self.known:
            other = self.split(layer)
            self.known[layer] = NetworkCuts(self.module, self.example, self.split, other, self.known).of_own()
        return self.known[layer]

    def stages(self) -> tuple[str, ...]:
        """The last cut of every resolution, from fine to coarse, of those that ``layer: auto`` could take."""
        return self._stages

    @cached_property
    @torch.inference_mode(False)
    def _stages(self) -> tuple[str, ...]:
        return stage_names(self.own.split, self.module, self.example, self.own.layer)
