"""A network whose last layers have fresh weights, for as long as it is asked about."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from reciprocam_bench.backbones.backbone import Backbone


@contextmanager
def fresh_weights(backbone: Backbone, share: float, seed: int = 0) -> Iterator[None]:
    """Replace the weights of the last layers by what their ``reset_parameters`` gives, and put them back afterwards.

    The numbers are replaced in place, so that whatever shares them changes with them: cuts at other layers, the linear
    head, the copies that other libraries run. A layer's fresh weights are the same on every device and for every share
    that it falls into. A batch norm that was folded into its convolution goes with it: a network without any weights of
    its own has no normalisation either. What no layer can make anew stays: bare parameters, as position embeddings.

    Args:
        backbone: the network.
        share: how many of its layers, 0 to 1, from the last one on; one at least, unless it is 0.
        seed: of the fresh weights.
    """
    layers = fresh_layers(backbone)
    chosen = layers[len(layers) - (max(1, round(share * len(layers))) if share else 0) :]
    before = [(kept, kept.clone()) for layer in chosen for kept in _numbers(layer)]
    try:
        for place, layer in enumerate(reversed(chosen)):
            _refresh(layer, seed + place)
        yield
    finally:
        with torch.no_grad():
            for kept, value in before:
                kept.copy_(value)


def fresh_layers(backbone: Backbone) -> list[nn.Module]:
    """The modules that can be given fresh weights, each once, from the first to the last."""
    halves = (module for half in (backbone.features, backbone.head) for module in half.modules())
    return list(dict.fromkeys(m for m in halves if _reset_of(m) and _numbers(m)))


def _reset_of(module: nn.Module) -> Callable[[], None] | None:
    """What gives a module fresh weights of its own; PyTorch's attention calls it by a private name."""
    reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
    return reset if callable(reset) else None


def _numbers(layer: nn.Module) -> list[Tensor]:
    return [t.detach() for t in (*layer.parameters(recurse=False), *layer.buffers(recurse=False))]


def _refresh(layer: nn.Module, seed: int) -> None:
    own = {id(t): t.detach().cpu().clone() for t in layer.buffers(recurse=False)}
    own |= {id(p): nn.Parameter(p.detach().cpu().clone(), p.requires_grad) for p in layer.parameters(recurse=False)}
    fresh = copy.deepcopy(layer, own)  # made on the CPU, whose random numbers are the same everywhere
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reset = _reset_of(fresh)
        assert reset is not None
        reset()
    for kept, value in zip(_numbers(layer), _numbers(fresh), strict=True):
        kept.copy_(value)
