"""The ways to split a network, and the first of them that works."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from reciprocam_bench.backbones import policy
from reciprocam_bench.backbones.backbone import SplitKind
from reciprocam_bench.backbones.freeze import FrozenNetwork
from reciprocam_bench.backbones.graph import TracedNetwork
from reciprocam_bench.backbones.layout import Halves
from reciprocam_bench.backbones.policy import NotACut
from reciprocam_bench.backbones.reach import without_zeros
from reciprocam_bench.backbones.replace import HookedNetwork
from reciprocam_bench.errors import UserError

_WAYS: dict[SplitKind, Callable[[nn.Module, Tensor], policy.Network[Any]]] = {
    "graph": TracedNetwork,
    "replace": HookedNetwork,
}


class Unsplittable(UserError):
    """The whole network has been seen, and there is no cut in it: no other way will find one."""


def first_that_works(network: FrozenNetwork, layer: str) -> tuple[SplitKind, Halves, float]:
    """Split a frozen network at ``layer``: how, the halves, and their largest error on the example.

    Raises:
        UserError: for a layer that is unknown or no cut, and a network that no way can split.
    """
    reasons, name = [], network.info.name
    for kind in _WAYS:
        try:
            halves = split_by(kind, network.module, network.example, layer)
            error, other_error = _errors(halves, network)
        except Unsplittable as reason:
            raise _refusal(name, layer, str(reason)) from None
        except UserError as reason:
            if layer != "auto":  # the word on a named layer is final
                raise UserError(f"{name}: {reason}") from None
            reasons.append(f"{kind}: {reason}")
            continue
        except Exception as reason:  # tracing strange code fails in every way there is; the next way may work
            reasons.append(f"{kind}: {type(reason).__name__}: {(str(reason).splitlines() or [''])[0][:120]}")
            continue
        wrong = [e for e in (error, other_error) if not _is_small(e, network.logits)]
        if not wrong:
            return kind, halves, error
        reasons.append(f"{kind}: head(features(x)) differs from the model by {wrong[0]:.2g}")
    raise _refusal(name, layer, "; ".join(reasons))


def split_by(kind: SplitKind, module: nn.Module, example: Tensor, layer: str) -> Halves:
    """Split a frozen module at ``auto`` or a named layer in one way; the halves share its weights.

    Raises ``UserError`` for a layer that is unknown or no cut, and whatever looking at the network raises.
    """
    module = _with_same_weights(module)
    with without_zeros(module):
        network = _WAYS[kind](module, example)
        try:
            step = policy.last_layer(network) if layer == "auto" else policy.named_layer(network, layer)
        except NotACut as reason:
            if layer == "auto" and network.shows_most:
                raise Unsplittable(str(reason)) from None
            raise
    return network.halves(step)


def stage_names(kind: SplitKind, module: nn.Module, example: Tensor, last: str) -> tuple[str, ...]:
    """The stages of a frozen module up to the layer ``last``, as the way of splitting it sees them."""
    module = _with_same_weights(module)
    with without_zeros(module):
        return policy.stage_layers(_WAYS[kind](module, example), last)


def _refusal(name: str, layer: str, reason: str) -> UserError:
    return UserError(
        f"{name}: layer '{layer}' cannot be split off ({reason}); name another layer, or explain the network from "
        "outside with layer: image"
    )


def _with_same_weights(module: nn.Module) -> nn.Module:
    """A copy whose parameters and buffers are the very tensors of ``module``: tracing can leave traces in modules."""
    shared = {id(tensor): tensor for tensor in [*module.parameters(), *module.buffers()]}
    return copy.deepcopy(module, shared)


def _other_batch(example: Tensor) -> Tensor:
    """Other images in another number: what a trace or a black image has baked in shows itself."""
    mirrored = example[:1].flip(3)
    return mirrored if len(example) > 1 else torch.cat([mirrored, 0.5 * example])


def _errors(halves: Halves, network: FrozenNetwork) -> tuple[float, float]:
    """The largest error on the example, and on other images in another number."""
    other = _other_batch(network.example)
    with torch.no_grad():
        error = difference(halves.head(halves.features(network.example)), network.logits)
        return error, difference(halves.head(halves.features(other)), network.module(other))


def _is_small(error: float, logits: Tensor) -> bool:
    return error <= 1e-3 * float(logits.abs().max())


def difference(a: Any, b: Tensor) -> float:
    """The largest absolute difference; infinite for what has another shape."""
    return float((a - b).abs().max()) if isinstance(a, Tensor) and a.shape == b.shape else float("inf")
