"""The ways to split a network, and the first of them that works."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from reciprocam_bench.backbones import graph
from reciprocam_bench.backbones.backbone import SplitKind
from reciprocam_bench.backbones.layout import Halves
from reciprocam_bench.backbones.reach import NotACut
from reciprocam_bench.backbones.replace import split_by_replacing
from reciprocam_bench.errors import UserError


class NoCut(UserError):
    """The whole network has been seen, and there is no cut in it: no other way will find one."""


def first_that_works(
    module: nn.Module, example: Tensor, layer: str, logits: Tensor, name: str
) -> tuple[SplitKind, Halves, float]:
    """Split a frozen ``module`` at ``layer``: how, the halves, and their largest error on the example.

    Every way works on its own copy of the modules (with the same weights), as tracing can leave traces in them.

    Raises:
        UserError: for a layer that is unknown or no cut, and a network that no way can split.
    """
    reasons = []
    ways: dict[SplitKind, Callable[[nn.Module, Tensor, str], Halves]] = {
        "graph": _split_by_graph,
        "replace": split_by_replacing,
    }
    for kind, way in ways.items():
        try:
            copied = with_same_weights(module)
            halves = way(copied, example, layer)
            error = _error(halves, example, logits)
            other = _other_batch(example)
            with torch.no_grad():
                expected = module(other)
            wrong = next((e for e in (error, _error(halves, other, expected)) if not _is_small(e, logits)), None)
        except NoCut as reason:
            raise _refusal(name, layer, str(reason)) from None
        except UserError as reason:
            if layer != "auto":  # the word on a named layer is final
                raise UserError(f"{name}: {reason}") from None
            reasons.append(f"{kind}: {reason}")
            continue
        except Exception as reason:  # tracing strange code fails in every way there is; the next way may work
            reasons.append(f"{kind}: {type(reason).__name__}: {(str(reason).splitlines() or [''])[0][:120]}")
            continue
        if wrong is None:
            return kind, halves, error
        reasons.append(f"{kind}: head(features(x)) differs from the model by {wrong:.2g}")
    raise _refusal(name, layer, "; ".join(reasons))


def _refusal(name: str, layer: str, reason: str) -> UserError:
    return UserError(
        f"{name}: layer '{layer}' cannot be split off ({reason}); name another layer, or explain the network from "
        "outside with layer: image"
    )


def with_same_weights(module: nn.Module) -> nn.Module:
    """A copy whose parameters and buffers are the very tensors of ``module``."""
    shared = {id(tensor): tensor for tensor in [*module.parameters(), *module.buffers()]}
    return copy.deepcopy(module, shared)


def _split_by_graph(module: nn.Module, example: Tensor, layer: str) -> Halves:
    network = graph.trace(module, example)
    if any(layer.startswith(f"{path}.") for path in network.closed) and layer in dict(module.named_modules()):
        raise RuntimeError(f"'{layer}' is inside of what cannot be traced")
    try:
        node = graph.find_layer(network, layer)
    except NotACut as reason:
        if layer == "auto" and graph.shows_most(network):
            raise NoCut(str(reason)) from None
        raise
    features, head = graph.cut(network, node)
    return Halves(features, head, graph.layer_name(network, node), network.layouts[node])


def _other_batch(example: Tensor) -> Tensor:
    """Other images in another number: what a trace or a black image has baked in shows itself."""
    mirrored = example[:1].flip(3)
    return mirrored if len(example) > 1 else torch.cat([mirrored, 0.5 * example])


def _error(halves: Halves, images: Tensor, logits: Tensor) -> float:
    with torch.no_grad():
        return difference(halves.head(halves.features(images)), logits)


def _is_small(error: float, logits: Tensor) -> bool:
    return error <= 1e-3 * float(logits.abs().max())


def difference(a: Any, b: Tensor) -> float:
    """The largest absolute difference; infinite for what has another shape."""
    return float((a - b).abs().max()) if isinstance(a, Tensor) and a.shape == b.shape else float("inf")
