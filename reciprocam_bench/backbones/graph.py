"""Split a network by tracing it: the features are the graph up to a layer, the head is the rest."""

import operator
from typing import Any

import torch
from torch import nn
from torch.fx import Graph, GraphModule, Node

from reciprocam_bench.backbones.reach import (
    PASSIVE,
    SAME,
    NotACut,
    check_depth,
    not_a_cut,
    reads_every_position,
    without_zeros,
)
from reciprocam_bench.backbones.trace import TracedNetwork, shape_of, trace
from reciprocam_bench.errors import UserError, did_you_mean

__all__ = ["NotACut", "TracedNetwork", "cut", "find_layer", "layer_name", "stage_names", "trace"]

# A cut in front of one of these says the same and keeps the larger map.
_PASSIVE_FUNCTIONS = (
    nn.functional.adaptive_avg_pool2d,
    nn.functional.adaptive_max_pool2d,
    nn.functional.dropout,
)
# These only say the same in another layout, or without the tokens that have no place.
_REARRANGEMENTS = (operator.getitem, torch.flatten, torch.permute, torch.reshape, torch.transpose)
_REARRANGING_METHODS = ("contiguous", "flatten", "permute", "reshape", "transpose", "unflatten", "view")
_STEPS = ("call_module", "call_function", "call_method")


def find_layer(network: TracedNetwork, layer: str) -> Node:
    """Return the node to cut at: the last map that all of the logits come from, or the end of a named layer.

    ``auto`` is the last map, in any layout, that is a cut, has trained layers behind it, and is read at every
    position: behind the last block of many transformers the class token alone is.

    Raises ``UserError`` for a name the network does not have, ``NotACut`` for one that is not a cut.
    """
    if layer != "auto":
        return _named(network, layer)
    with without_zeros(network.module):
        for node in reversed(_cuts(network)):
            check_depth(layer_name(network, node), *_layers_around(network, node))
            if _is_read(network, node):
                return node
    raise NotACut("no layer of the traced network gives a spatial map that all later layers depend on alone")


def stage_names(network: TracedNetwork, last: str) -> tuple[str, ...]:
    """The last layer of every resolution that ``auto`` could take, from fine to coarse; ``last`` is the end."""
    end = _named(network, last)
    names, area = [last], _area(network, end)
    cuts = _cuts(network)
    earlier = cuts[: cuts.index(end)] if end in cuts else [n for n in cuts if n in _ancestors(network, end)]
    with without_zeros(network.module):
        for node in reversed(earlier):
            name = layer_name(network, node)
            if _area(network, node) > area and _end_of(network, name) is node and _is_read(network, node):
                names.append(name)
                area = _area(network, node)
    return tuple(reversed(names))


def cut(network: TracedNetwork, node: Node) -> tuple[GraphModule, GraphModule]:
    """Return ``features`` and ``head``, two graphs over the same weights."""
    behind = _needed_behind(network, node)
    if behind is None:
        raise NotACut(f"later layers need more than the output of '{network.paths.get(node, node.name)}'")
    return _copy(network, _ancestors(network, node), None, node), _copy(network, behind, node, None)


def shows_most(network: TracedNetwork) -> bool:
    """Whether the graph holds most of the network, rather than a step that all of it is hidden in."""
    trained = [name for name, m in network.module.named_modules() if any(True for _ in m.parameters(recurse=False))]
    hidden = sum(any(f"{name}.".startswith(f"{path}.") for path in network.closed) for name in trained)
    return 2 * hidden <= len(trained)


def layer_name(network: TracedNetwork, node: Node) -> str:
    """The shortest module path that ends with ``node``: ``layer4`` rather than ``layer4.2.relu_2``."""
    parts = network.paths[node].split(".")
    for length in range(1, len(parts)):
        prefix = ".".join(parts[:length])
        if _end_of(network, prefix) is node:
            return prefix
    return network.paths[node]


def _named(network: TracedNetwork, layer: str) -> Node:
    node = _end_of(network, layer)
    if node is None:
        paths = [path for n, path in network.paths.items() if n.op in _STEPS]
        prefixes = {".".join(p.split(".")[:i]) for p in paths for i in range(1, p.count(".") + 2)}
        raise UserError(f"layer '{layer}' is not in the network{did_you_mean(layer, prefixes)}")
    if node not in network.layouts:
        raise NotACut(f"layer '{layer}' gives no spatial map (N, C, h, w); name an earlier layer")
    if _needed_behind(network, node) is None:
        raise not_a_cut(layer)
    return node


def _end_of(network: TracedNetwork, prefix: str) -> Node | None:
    """The last step under a path, or the one in front of it where the last says the same: dropout, another layout."""
    node = _last_under(network, prefix)
    while node is not None and node in network.layouts and _says_the_same(network, node):
        node = node.all_input_nodes[0]
    return node


def _last_under(network: TracedNetwork, prefix: str) -> Node | None:
    found = None
    for node, path in network.paths.items():
        inside = path == prefix or path.startswith(f"{prefix}.")
        # A module that runs again has a number behind its path.
        again = node.op == "call_module" and node.target == prefix
        if (inside or again) and node.op in _STEPS:
            found = node
    return found


def _cuts(network: TracedNetwork) -> list[Node]:
    """The maps that all later layers depend on alone, with trained layers among those, in the order they run."""
    found = [n for n in _alone(network) if n in network.layouts and not _is_passive(network, n)]
    trained = {n for n in network.nodes if _has_parameters(network, n)}
    return [n for n in found if not trained.isdisjoint(_needed_behind(network, n) or ())]


def _alone(network: TracedNetwork) -> list[Node]:
    """The nodes that everything made of the image passes through: no edge leads around them."""
    order = {node: i for i, node in enumerate(network.nodes)}
    of_image: set[Node] = set()
    found, reaches = [], 0  # how far the edges from earlier nodes reach
    for node, i in order.items():
        if node.op == "placeholder" or any(n in of_image for n in node.all_input_nodes):
            of_image.add(node)
            if reaches <= i and node.op not in ("placeholder", "output"):
                found.append(node)
            reaches = max([reaches, *(order[user] for user in node.users)])
    return found


def _is_read(network: TracedNetwork, node: Node) -> bool:
    features, head = cut(network, node)
    with torch.no_grad():
        output = features(network.example[:1])
    return reads_every_position(head, output, network.layouts[node])


def _layers_around(network: TracedNetwork, node: Node) -> tuple[int, int]:
    """How many trained steps that work on positions come up to ``node``, and how many behind it."""
    order = {n: i for i, n in enumerate(network.nodes)}
    steps = [order[n] for n in network.nodes if _is_trained_on_positions(network, n)]
    before = sum(step <= order[node] for step in steps)
    return before, len(steps) - before


def _is_trained_on_positions(network: TracedNetwork, node: Node) -> bool:
    shape = shape_of(node)
    if len(shape) < 3 or max(shape[2:]) == 1 or node.op == "get_attr":
        return False
    return _has_parameters(network, node) or any(n.op == "get_attr" for n in node.all_input_nodes)


def _area(network: TracedNetwork, node: Node) -> int:
    height, width = network.layouts[node].grid
    return height * width


def _is_passive(network: TracedNetwork, node: Node) -> bool:
    return _is_one_of(network, node, PASSIVE, _PASSIVE_FUNCTIONS) or _says_the_same(network, node)


def _says_the_same(network: TracedNetwork, node: Node) -> bool:
    """Whether a map's step hands on the map it gets, perhaps in another layout."""
    rearranges = node.target in (_REARRANGING_METHODS if node.op == "call_method" else _REARRANGEMENTS)
    if not rearranges and not _is_one_of(network, node, SAME, (nn.functional.dropout,)):
        return False
    if len(node.all_input_nodes) > 1:  # a reshape to sizes from further back may be a cut where its input is none
        return False
    before = network.layouts.get(node.all_input_nodes[0])  # windows are no map, putting them together makes one
    return before is not None and before.grid == network.layouts[node].grid


def _is_one_of(network: TracedNetwork, node: Node, modules: tuple[type, ...], functions: tuple[Any, ...]) -> bool:
    if node.op == "call_module":
        return isinstance(network.module.get_submodule(str(node.target)), modules)
    return node.op == "call_function" and node.target in functions


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
