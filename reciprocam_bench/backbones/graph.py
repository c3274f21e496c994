"""Look at a network as the graph of its trace: the features are the graph up to a node, the head is the rest."""

import operator
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node

from reciprocam_bench.backbones.layout import Halves, Layout
from reciprocam_bench.backbones.policy import PASSIVE, SAME
from reciprocam_bench.backbones.trace import Trace, shape_of, trace
from reciprocam_bench.errors import UserError, did_you_mean

# A cut in front of one of these says the same and keeps the larger map.
_PASSIVE_FUNCTIONS = (
    nn.functional.adaptive_avg_pool1d,
    nn.functional.adaptive_max_pool1d,
    nn.functional.adaptive_avg_pool2d,
    nn.functional.adaptive_max_pool2d,
    nn.functional.dropout,
)
# These only say the same in another layout, or without the tokens that have no place.
_REARRANGEMENTS = (operator.getitem, torch.flatten, torch.permute, torch.reshape, torch.transpose)
_REARRANGING_METHODS = ("contiguous", "flatten", "permute", "reshape", "transpose", "unflatten", "view")
_STEPS = ("call_module", "call_function", "call_method")


class TracedNetwork:
    """A network whose steps are the nodes of its trace (a `policy.Network`); whatever cannot be traced raises."""

    def __init__(self, module: nn.Module, example: Tensor) -> None:
        self.trace = trace(module, example)
        self.steps: list[Node] = list(self.trace.module.graph.nodes)
        self._order = {node: i for i, node in enumerate(self.steps)}
        self._alone = _alone(self._order)
        names = [name for name, _ in module.named_modules()]
        self._hidden = {n for n in names if any(n.startswith(f"{path}.") for path in self.trace.closed)}
        self.shows_most = _shows_most(self.trace)

    def find(self, layer: str) -> Node | None:
        """The node at the end of a layer; what is inside of an untraceable module raises ``RuntimeError``."""
        if layer in self._hidden:
            raise RuntimeError(f"'{layer}' is inside of what cannot be traced")
        node = _end_of(self.trace, layer)
        if node is None:
            paths = [path for n, path in self.trace.paths.items() if n.op in _STEPS]
            prefixes = {".".join(p.split(".")[:i]) for p in paths for i in range(1, p.count(".") + 2)}
            raise UserError(f"layer '{layer}' is not in the network{did_you_mean(layer, prefixes)}")
        return node if node in self.trace.layouts else None

    def name(self, step: Node) -> str:
        """The shortest module path that ends with ``step``: ``layer4`` rather than ``layer4.2.relu_2``."""
        parts = self.trace.paths[step].split(".")
        prefixes = (".".join(parts[:length]) for length in range(1, len(parts)))
        return next((p for p in prefixes if _end_of(self.trace, p) is step), self.trace.paths[step])

    def layout(self, step: Node) -> Layout:
        """How the node's map is laid out."""
        return self.trace.layouts[step]

    def may_be_cut(self, step: Node) -> bool:
        """Whether the node gives a new map, and no edge leads around it."""
        return step in self._alone and step in self.trace.layouts and not _is_passive(self.trace, step)

    def is_cut(self, step: Node) -> bool:
        """Whether what lies behind the node needs nothing else that is made of the image."""
        return not any(node.op == "placeholder" for node in self._behind(step))

    def has_trained_behind(self, step: Node) -> bool:
        """Whether parameters are used behind the node."""
        return any(_has_parameters(self.trace, node) for node in self._behind(step))

    def layers_around(self, step: Node) -> tuple[int, int]:
        """How many nodes with parameters that work on positions come up to ``step``, and how many behind it."""
        trained = [self._order[n] for n in self.steps if _is_trained_on_positions(self.trace, n)]
        before = sum(place <= self._order[step] for place in trained)
        return before, len(trained) - before

    def output(self, step: Node) -> Tensor:
        """The node's output for the first example image."""
        with torch.no_grad():
            return self.features(step)(self.trace.example[:1])

    def features(self, step: Node) -> GraphModule:
        """The graph up to ``step``."""
        return self._copy(_ancestors(step), None, step)

    def head(self, step: Node) -> GraphModule:
        """The graph behind ``step``, over the same weights."""
        return self._copy(self._behind(step), step, None)

    def halves(self, step: Node) -> Halves:
        """Both, with the layer's name and layout."""
        return Halves(self.features(step), self.head(step), self.name(step), self.layout(step))

    def _behind(self, step: Node) -> set[Node]:
        """The nodes that turn ``step``'s output into the network's, and those made of the image that they need."""
        output = self.steps[-1]
        return _ancestors(output, stop=step) - {output}

    def _copy(self, wanted: set[Node], entry: Node | None, end: Node | None) -> GraphModule:
        """Copy the ``wanted`` nodes to a graph from ``entry`` to ``end``; None stands for the network's own ends."""
        graph = Graph()
        copies: dict[Node, Node] = {}
        if entry is not None:
            copies[entry] = graph.placeholder("features")
        for node in self.steps:
            if node in wanted and node not in copies:
                copies[node] = graph.node_copy(node, lambda n: copies[n])
        last = copies[end] if end is not None else torch.fx.node.map_arg(self.steps[-1].args[0], lambda n: copies[n])
        graph.output(last)
        return GraphModule(self.trace.module, graph)


def _shows_most(traced: Trace) -> bool:
    """Whether the graph holds most of the network, rather than a step that all of it is hidden in."""
    trained = [name for name, m in traced.module.named_modules() if any(True for _ in m.parameters(recurse=False))]
    hidden = sum(any(f"{name}.".startswith(f"{path}.") for path in traced.closed) for name in trained)
    return 2 * hidden <= len(trained)


def _end_of(traced: Trace, prefix: str) -> Node | None:
    """The last step under a path, or the one in front of it where the last says the same: dropout, another layout."""
    node = _last_under(traced, prefix)
    while node is not None and node in traced.layouts and _says_the_same(traced, node):
        node = node.all_input_nodes[0]
    return node


def _last_under(traced: Trace, prefix: str) -> Node | None:
    found = None
    for node, path in traced.paths.items():
        inside = path == prefix or path.startswith(f"{prefix}.")
        # A module that runs again has a number behind its path.
        again = node.op == "call_module" and node.target == prefix
        if (inside or again) and node.op in _STEPS:
            found = node
    return found


def _alone(order: dict[Node, int]) -> set[Node]:
    """The nodes that everything made of the image passes through: no edge leads around them."""
    of_image: set[Node] = set()
    found, reaches = set(), 0  # how far the edges from earlier nodes reach
    for node, i in order.items():
        if node.op == "placeholder" or any(n in of_image for n in node.all_input_nodes):
            of_image.add(node)
            if reaches <= i and node.op not in ("placeholder", "output"):
                found.add(node)
            reaches = max([reaches, *(order[user] for user in node.users)])
    return found


def _is_trained_on_positions(traced: Trace, node: Node) -> bool:
    shape = shape_of(node)
    if len(shape) < 3 or max(shape[2:]) == 1 or node.op == "get_attr":
        return False
    return _has_parameters(traced, node) or any(n.op == "get_attr" for n in node.all_input_nodes)


def _is_passive(traced: Trace, node: Node) -> bool:
    return _is_one_of(traced, node, PASSIVE, _PASSIVE_FUNCTIONS) or _says_the_same(traced, node)


def _says_the_same(traced: Trace, node: Node) -> bool:
    """Whether a map's step hands on the map it gets, perhaps in another layout."""
    rearranges = node.target in (_REARRANGING_METHODS if node.op == "call_method" else _REARRANGEMENTS)
    if not rearranges and not _is_one_of(traced, node, SAME, (nn.functional.dropout,)):
        return False
    if len(node.all_input_nodes) > 1:  # a reshape to sizes from further back may be a cut where its input is none
        return False
    before = traced.layouts.get(node.all_input_nodes[0])  # windows are no map, putting them together makes one
    return before is not None and before.grid == traced.layouts[node].grid


def _is_one_of(traced: Trace, node: Node, modules: tuple[type, ...], functions: tuple[Any, ...]) -> bool:
    if node.op == "call_module":
        return isinstance(traced.module.get_submodule(str(node.target)), modules)
    return node.op == "call_function" and node.target in functions


def _has_parameters(traced: Trace, node: Node) -> bool:
    if node.op == "call_module":
        return any(True for _ in traced.module.get_submodule(str(node.target)).parameters())
    return node.op == "get_attr"


def _ancestors(node: Node, stop: Node | None = None) -> set[Node]:
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
