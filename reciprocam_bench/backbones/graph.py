"""Split a network by tracing it: the features are the graph up to a layer, the head is the rest."""

import math
from dataclasses import dataclass

import timm.layers
import timm.models
import torch
import torchvision
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node
from torch.fx.passes.shape_prop import ShapeProp
from torchvision.models.feature_extraction import NodePathTracer

from reciprocam_bench.errors import UserError, did_you_mean

# A cut in front of one of these says the same and keeps the larger map.
_PASSIVE = (
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.Dropout,
    nn.Dropout2d,
    nn.Identity,
    timm.layers.SelectAdaptivePool2d,
)
_PASSIVE_FUNCTIONS = (
    nn.functional.adaptive_avg_pool2d,
    nn.functional.adaptive_max_pool2d,
    nn.functional.dropout,
)


class NotACut(UserError):
    """The rest of the network needs more than the named layer's output."""


@dataclass(frozen=True)
class TracedNetwork:
    """A traced module, with each node's path in it (``layer4.2.relu_2``) and the shape it gives on the example."""

    module: GraphModule
    paths: dict[Node, str]

    @property
    def nodes(self) -> list[Node]:
        """The nodes in the order they run."""
        return list(self.module.graph.nodes)


def trace(module: nn.Module, example: Tensor) -> TracedNetwork:
    """Trace ``module`` and note the shapes on ``example``; whatever cannot be traced raises what torch.fx raises."""
    tracer = NodePathTracer(
        autowrap_modules=(math, torchvision.ops),
        leaf_modules=list(timm.models.get_notrace_modules()),
        autowrap_functions=tuple(timm.models.get_notrace_functions()),
    )
    traced = GraphModule(tracer.root if hasattr(tracer, "root") else module, tracer.trace(module))
    with torch.no_grad():
        ShapeProp(traced).propagate(example)
    # GraphModule copies the graph; the copy keeps order and names, so the paths carry over by name.
    by_name = {node.name: path for node, path in tracer.node_to_qualname.items()}
    return TracedNetwork(traced, {n: by_name[n.name] for n in traced.graph.nodes if n.name in by_name})


def find_layer(network: TracedNetwork, layer: str) -> Node:
    """Return the node to cut at: the last spatial map with a trained head behind it, or the end of a named layer.

    Raises ``UserError`` for a name the network does not have, ``NotACut`` for one that is not a cut.
    """
    if layer != "auto":
        return _named(network, layer)
    for node in reversed(network.nodes):
        if _is_spatial(network, node) and not _is_passive(network, node):
            behind = _needed_behind(network, node)
            if behind is not None and any(_has_parameters(network, n) for n in behind):
                return node
    raise NotACut("no layer of the traced network gives a spatial map that all later layers depend on alone")


def cut(network: TracedNetwork, node: Node) -> tuple[GraphModule, GraphModule]:
    """Return ``features`` and ``head``, two graphs over the same weights."""
    behind = _needed_behind(network, node)
    if behind is None:
        raise NotACut(f"later layers need more than the output of '{network.paths.get(node, node.name)}'")
    return _copy(network, _ancestors(network, node), None, node), _copy(network, behind, node, None)


def layer_name(network: TracedNetwork, node: Node) -> str:
    """The shortest module path that ends with ``node``: ``layer4`` rather than ``layer4.2.relu_2``."""
    parts = network.paths[node].split(".")
    for length in range(1, len(parts)):
        prefix = ".".join(parts[:length])
        if _last_under(network, prefix) is node:
            return prefix
    return network.paths[node]


def _named(network: TracedNetwork, layer: str) -> Node:
    node = _last_under(network, layer)
    if node is None:
        prefixes = {".".join(p.split(".")[:i]) for p in network.paths.values() for i in range(1, p.count(".") + 2)}
        raise UserError(f"layer '{layer}' is not in the network{did_you_mean(layer, prefixes)}")
    if not _is_spatial(network, node):
        raise NotACut(f"layer '{layer}' gives no spatial map (N, C, h, w); name an earlier layer")
    if _needed_behind(network, node) is None:
        raise NotACut(f"layer '{layer}' is no cut: later layers also need outputs that do not pass through it")
    return node


def _last_under(network: TracedNetwork, prefix: str) -> Node | None:
    found = None
    for node, path in network.paths.items():
        inside = path == prefix or path.startswith(f"{prefix}.")
        # A module that runs again has a number behind its path.
        again = node.op == "call_module" and node.target == prefix
        if (inside or again) and node.op in ("call_module", "call_function", "call_method"):
            found = node
    return found


def _is_spatial(network: TracedNetwork, node: Node) -> bool:
    """Whether the node gives ``(N, C, h, w)``: two sides of the image's shape, so not ``(N, h, w, C)`` or attention."""
    shape = _shape(node)
    if len(shape) != 4 or min(shape[2:]) <= 1 or node.op == "placeholder":
        return False
    height, width = next(_shape(n) for n in network.nodes if n.op == "placeholder")[2:]
    return has_shape_of_image(shape, height, width)


def has_shape_of_image(shape: tuple[int, ...], height: int, width: int) -> bool:
    """Whether the last two sides of ``shape`` are those of the image divided by one number, give or take rounding."""
    return abs(shape[2] * width - shape[3] * height) <= 2 * max(height, width)


def _shape(node: Node) -> tuple[int, ...]:
    return tuple(getattr(node.meta.get("tensor_meta"), "shape", ()))


def _is_passive(network: TracedNetwork, node: Node) -> bool:
    if node.op == "call_module":
        return isinstance(network.module.get_submodule(str(node.target)), _PASSIVE)
    return node.op == "call_function" and node.target in _PASSIVE_FUNCTIONS


def _has_parameters(network: TracedNetwork, node: Node) -> bool:
    if node.op == "call_module":
        return any(True for _ in network.module.get_submodule(str(node.target)).parameters())
    return node.op == "get_attr"


def _ancestors(network: TracedNetwork, node: Node, stop: Node | None = None) -> set[Node]:
    """All nodes that ``node`` is computed from, itself included, not looking behind ``stop``."""
    seen: set[Node] = set()
    todo = [node]
    while todo:
        current = todo.pop()
        if current is stop or current in seen:
            continue
        seen.add(current)
        todo.extend(current.all_input_nodes)
    return seen


def _needed_behind(network: TracedNetwork, node: Node) -> list[Node] | None:
    """The nodes that turn ``node``'s output into the network's; None if they also need the image itself."""
    output = network.nodes[-1]
    needed = _ancestors(network, output, stop=node)
    if any(n.op == "placeholder" for n in needed):
        return None
    return [n for n in network.nodes if n in needed and n is not output]


def _copy(network: TracedNetwork, wanted: set[Node] | list[Node], entry: Node | None, end: Node | None) -> GraphModule:
    """Copy the ``wanted`` nodes to a graph from ``entry`` to ``end``; None stands for the network's own ends."""
    wanted = set(wanted)
    graph = Graph()
    copies: dict[Node, Node] = {}
    if entry is not None:
        copies[entry] = graph.placeholder("features")
    for node in network.nodes:
        if node in wanted and node not in copies:
            copies[node] = graph.node_copy(node, lambda n: copies[n])
    last = copies[end] if end is not None else torch.fx.node.map_arg(network.nodes[-1].args[0], lambda n: copies[n])
    graph.output(last)
    return GraphModule(network.module, graph)
