"""A backbone as the one module that other libraries expect, on modules of its own that they may do anything to."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import GraphModule

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.errors import UserError
from reciprocam_bench.peers.taps import tap

_RELUS = (F.relu, F.relu_, torch.relu, torch.relu_)


class _MapAlone(nn.Module):
    """A transformer's features whose output is the map alone, which libraries hook; ``beside`` keeps its context."""

    def __init__(self, features: nn.Module, beside: list[Tensor]) -> None:
        super().__init__()
        self.features = features
        self._beside = beside

    def forward(self, images: Tensor) -> Tensor:
        """``(N, 3, H, W)`` to ``(N, C, h, w)``."""
        maps, context = self.features(images)
        self._beside[:] = [context]
        return maps


class WholeNetwork(nn.Module):
    """``features`` and ``head`` of a backbone, one behind the other: own modules over the backbone's weights.

    Attributes:
        targets: names of the modules whose outputs the layers are, ``features`` for the backbone's own layer.
    """

    def __init__(self, backbone: Backbone, layers: tuple[str, ...], apart: bool) -> None:
        super().__init__()
        halves = nn.ModuleList([backbone.features, backbone.head])
        weights = {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in halves.parameters()}
        # Copied together, so that what the halves share stays shared; the numbers themselves are not copied.
        self.features, self.head = copy.deepcopy(halves, weights | {id(b): b for b in halves.buffers()})
        if apart or layers:  # what a library sees of a layer must not be overwritten by the next one
            for module in list(self.modules()):
                _not_in_place(module)
        self.targets = [f"features{tap(backbone, self.features, layer)}" for layer in layers] or ["features"]
        self._needs_context = backbone.prefix_tokens > 0
        self._beside: list[Tensor] = []  # the context of the maps under way, where there is one
        if self._needs_context:
            self.features = _MapAlone(self.features, self._beside)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, K)`` of images ``(N, 3, H, W)``."""
        if torch.is_grad_enabled() and not images.requires_grad:
            images = images.detach().requires_grad_()  # the weights are frozen: gradients need somewhere to go
        maps = self.features(images)
        if not self._needs_context:
            return self.head(maps)
        context = self._beside.pop() if self._beside else None
        if context is None or len(context) != len(maps):
            raise UserError(
                "this class runs the head on maps of its own, which the head of a transformer cannot take without the "
                "class token; leave the method out"
            )
        return self.head(maps, context)


# By features and head: modules, not their ids, which are given again to others.
_Lent = dict[tuple[tuple[str, ...], bool], WholeNetwork]
_networks: WeakKeyDictionary[nn.Module, WeakKeyDictionary[nn.Module, _Lent]] = WeakKeyDictionary()


@contextmanager
def whole_network(backbone: Backbone, layers: tuple[str, ...] = (), apart: bool = False) -> Iterator[WholeNetwork]:
    """Lend the whole network of a backbone; one that comes back changed is not lent again.

    Args:
        backbone: the network.
        layers: layers a class asks about, the backbone's own if left out.
        apart: whether each activation of a traced network is a module of its own, not in place, which captum's rules
            for single modules (DeepLIFT, guided backpropagation) need; the numbers are the same.
    """
    of_head = _networks.setdefault(backbone.head, WeakKeyDictionary())
    made, key = of_head.setdefault(backbone.features, {}), (layers, apart)
    with torch.inference_mode(False):
        network = made.pop(key, None) or WholeNetwork(backbone, layers, apart).eval()
        before = _state(network)
    try:
        yield network
    finally:
        for parameter in network.parameters():
            parameter.requires_grad_(False).grad = None
        if _state(network) == before:
            made[key] = network
        else:  # a hook left behind may hold a graph that holds the network, which no garbage collector sees through
            for module in network.modules():
                for hooks in _hooks(module):
                    hooks.clear()


def _state(network: nn.Module) -> list[tuple]:
    """What a library may leave behind: other modules, another mode, hooks."""
    return [(name, id(m), m.training, *map(len, _hooks(m))) for name, m in network.named_modules()]


def _hooks(module: nn.Module) -> tuple[dict, ...]:
    return module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks


def _not_in_place(module: nn.Module) -> None:
    if isinstance(getattr(module, "inplace", None), bool):
        setattr(module, "inplace", False)  # noqa: B010 - mypy takes every attribute of a module for a tensor
    if isinstance(module, GraphModule):
        _set_apart(module)


def _set_apart(network: GraphModule) -> None:
    """Give each call of a module that runs again, and of a ReLU function, its own module; leave out what does nothing.

    captum has no rule for an Identity, which is what a folded batch norm leaves behind.
    """
    seen: set[str] = set()
    for number, node in enumerate(list(network.graph.nodes)):
        module = network.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, nn.Identity):
            node.replace_all_uses_with(node.all_input_nodes[0])
            network.graph.erase_node(node)
            continue
        if node.op == "call_function" and node.target in _RELUS:
            own: nn.Module = nn.ReLU()
        elif module is not None and str(node.target) in seen and not list(module.parameters()):
            own = copy.deepcopy(module)
        else:
            seen.add(str(node.target))
            continue
        node.op, node.target = "call_module", f"own_{number}"
        node.args, node.kwargs = node.args[:1], {}
        network.add_submodule(node.target, own)
    network.delete_all_unused_submodules()
    network.recompile()
