"""Fold batch norms into the convolutions in front of them: the same function with fewer passes over memory."""

from collections import Counter

import timm.layers
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.nn.utils.fusion import fuse_conv_bn_weights

# Exact classes: a subclass may compute its weight anew in every forward (weight standardisation).
_CONVOLUTIONS = (nn.Conv2d, timm.layers.Conv2dSame)
# Of batch norms one may do more than normalise; what timm's do is known.
_NORMS = (nn.BatchNorm2d, timm.layers.BatchNormAct2d)

# The weights and bias that a convolution and a batch norm were folded into, by the convolution's and the norm's own.
Folded = dict[tuple[Tensor, Tensor | None, Tensor], tuple[nn.Parameter, nn.Parameter]]


def fold_batch_norms(*halves: GraphModule, shared: Folded | None = None) -> int:
    """Fold every 2-d batch norm right behind a plain convolution that nothing else uses; return how many were folded.

    Exact up to rounding, because ``eval`` batch norm is a fixed affine map per channel. The convolutions and batch
    norms are changed in place: give it modules of its own, and all graphs that share them. What is in ``shared`` is not
    folded anew, so that other cuts of the same weights stay cuts of the same weights.
    """
    calls = Counter(node.target for half in halves for node in half.graph.nodes if node.op == "call_module")
    return sum(_fold(half, calls, {} if shared is None else shared) for half in halves)


def _fold(module: GraphModule, calls: Counter, shared: Folded) -> int:
    folded = 0
    for node in module.graph.nodes:
        pair = _foldable(module, node, calls)
        if pair is None:
            continue
        conv, norm = pair
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None and variance is not None  # _foldable has seen to it
        key = (conv.weight, conv.bias, mean)
        if key not in shared:
            shared[key] = fuse_conv_bn_weights(conv.weight, conv.bias, mean, variance, norm.eps, norm.weight, norm.bias)
        conv.weight, conv.bias = shared[key]
        module.set_submodule(str(node.target), _rest_of(norm))
        folded += 1
    return folded


def _foldable(module: GraphModule, node: Node, calls: Counter) -> tuple[nn.Conv2d, nn.BatchNorm2d] | None:
    if node.op != "call_module" or calls[node.target] != 1:
        return None
    norm = module.get_submodule(str(node.target))
    source = node.args[0] if node.args else None
    if type(norm) not in _NORMS or not isinstance(source, Node) or source.op != "call_module":
        return None
    conv = module.get_submodule(str(source.target))
    if type(conv) not in _CONVOLUTIONS or calls[source.target] != 1 or len(source.users) != 1:
        return None
    if norm.running_mean is None or norm.running_var is None or _hooked(conv) or _hooked(norm):
        return None
    return conv, norm  # type: ignore[return-value]


def _hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _rest_of(norm: nn.BatchNorm2d) -> nn.Module:
    """What a batch norm does beside normalising: timm's carry their activation."""
    rest = [getattr(norm, name, None) for name in ("drop", "act")]
    kept = [m for m in rest if isinstance(m, nn.Module) and not isinstance(m, nn.Identity)]
    return nn.Sequential(*kept) if kept else nn.Identity()
