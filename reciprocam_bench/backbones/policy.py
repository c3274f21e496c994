"""The layers a network can be cut at: the one that ``auto`` takes, those that can be named, and the stages.

Written once, for every way to look at a network (`Network`).
"""

import math
from typing import Protocol, TypeVar

import timm.layers
from torch import Tensor, nn

from reciprocam_bench.backbones.layout import Halves, Layout
from reciprocam_bench.backbones.reach import reads_every_position
from reciprocam_bench.errors import UserError

# A cut in front of one of these says the same and keeps the larger map.
SAME: tuple[type, ...] = (nn.Dropout, nn.Dropout2d, nn.Identity, timm.layers.DropPath)
_POOLING = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveMaxPool1d)
PASSIVE = (*SAME, *_POOLING, nn.Flatten, timm.layers.SelectAdaptivePool2d)


class NotACut(UserError):
    """The rest of the network needs more than a layer's map, or the layer has none."""


Step = TypeVar("Step")


class Network(Protocol[Step]):
    """A network seen as steps in the order they run, some of which give a map.

    Attributes:
        steps: nodes of a graph, or modules.
        shows_most: whether most of the network is in sight, so that another way to look will find no other cut.
    """

    steps: list[Step]
    shows_most: bool

    def find(self, layer: str) -> Step | None:
        """The step that gives a layer's map, None for a layer without; ``UserError`` for an unknown name."""

    def name(self, step: Step) -> str:
        """The layer's name."""

    def layout(self, step: Step) -> Layout:
        """How a map is laid out."""

    def may_be_cut(self, step: Step) -> bool:
        """Whether a step gives a map that the steps before it do not, as far as can be told at little cost."""

    def is_cut(self, step: Step) -> bool:
        """Whether the rest of the network needs nothing beside the step's map."""

    def has_trained_behind(self, step: Step) -> bool:
        """Whether there are trained layers behind the step."""

    def layers_around(self, step: Step) -> tuple[int, int]:
        """How many trained layers that work on positions come up to the step, and how many behind it."""

    def output(self, step: Step) -> Tensor:
        """The map of the first example image, in its own layout."""

    def head(self, step: Step) -> nn.Module:
        """What turns the step's output into logits."""

    def halves(self, step: Step) -> Halves:
        """The network cut behind the step."""


def last_layer(network: Network[Step]) -> Step:
    """What ``auto`` takes: the last map, in any layout, that all of the logits come from.

    That is a cut with trained layers behind it that is read at every position: behind the last block of many
    transformers the class token alone is. ``NotACut`` where there is none, or only one that shows little.
    """
    for step in reversed(network.steps):
        if network.may_be_cut(step):
            _check_depth(network.name(step), *network.layers_around(step))
            if _is_eligible(network, step):
                return step
    raise NotACut("no layer gives a spatial map that all later layers depend on alone")


def named_layer(network: Network[Step], layer: str) -> Step:
    """The step of a named layer; ``NotACut`` for one that gives no map or is no cut, ``UserError`` for no layer."""
    step = network.find(layer)
    if step is None:
        raise NotACut(f"layer '{layer}' gives no spatial map (N, C, h, w); name an earlier layer")
    if not network.is_cut(step):
        raise NotACut(f"layer '{layer}' is no cut: later layers also need outputs that do not pass through it")
    return step


def stage_layers(network: Network[Step], last: str) -> tuple[str, ...]:
    """The last layer of every resolution that ``auto`` could take, from fine to coarse; ``last`` is the end."""
    end = named_layer(network, last)
    names, area = [last], _area(network, end)
    for step in reversed(network.steps[: network.steps.index(end)]):
        if not network.may_be_cut(step) or _area(network, step) <= area:
            continue
        name = network.name(step)
        if network.find(name) is step and _is_eligible(network, step):
            names.append(name)
            area = _area(network, step)
    return tuple(reversed(names))


def _is_eligible(network: Network[Step], step: Step) -> bool:
    if not network.has_trained_behind(step) or not network.is_cut(step):
        return False
    return reads_every_position(network.head(step), network.output(step), network.layout(step))


def _check_depth(layer: str, before: int, behind: int) -> None:
    """Refuse to look at a layer that most trained layers with positions come behind: it shows little of the network.

    Networks whose class token or second branch runs beside the map have no later cut.
    """
    if before < behind:
        raise NotACut(
            f"no layer behind '{layer}' gives a map that all of the logits come from, and that one has only {before} "
            f"of the network's {before + behind} trained spatial layers before it"
        )


def _area(network: Network[Step], step: Step) -> int:
    return math.prod(network.layout(step).grid)
