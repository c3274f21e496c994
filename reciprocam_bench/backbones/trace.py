"""Trace a network into a graph, as far down as it can be traced."""

import math
import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import timm.models
import torch
import torchvision
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node
from torch.fx.passes.shape_prop import ShapeProp
from torchvision.models.feature_extraction import NodePathTracer

from reciprocam_bench.backbones.layout import Layout, hint_of, is_flat_map, layout_of

# What puts axes elsewhere.
_TURNING = (torch.transpose, torch.permute, torch.swapaxes, "transpose", "permute", "swapaxes")


@dataclass(frozen=True)
class Trace:
    """A traced module on an example, ``(N, 3, H, W)``.

    Attributes:
        paths: each node's path in the module (``layer4.2.relu_2``).
        layouts: the nodes that give a map in some layout.
        closed: paths of the modules that are one step because they could not be traced.
    """

    module: GraphModule
    paths: dict[Node, str]
    layouts: dict[Node, Layout]
    example: Tensor
    closed: frozenset[str]


def trace(module: nn.Module, example: Tensor) -> Trace:
    """Trace ``module`` and note the shapes on ``example``; whatever cannot be traced raises what torch.fx raises."""
    tracer = _Tracer(
        autowrap_modules=(math, torchvision.ops),
        leaf_modules=list(timm.models.get_notrace_modules()),
        autowrap_functions=tuple(timm.models.get_notrace_functions()),
    )
    graph = tracer.trace(module)
    _drop_dead(tracer, graph)
    traced = GraphModule(tracer.root, graph)
    with torch.no_grad():
        ShapeProp(traced).propagate(example)
    # GraphModule copies the graph; the copy keeps order and names, so the paths carry over by name.
    by_name = {node.name: path for node, path in tracer.node_to_qualname.items()}
    paths = {n: by_name[n.name] for n in traced.graph.nodes if n.name in by_name}
    closed = frozenset(name for name, m in module.named_modules() if m in tracer.closed)
    return Trace(traced, paths, _layouts(traced, module, example), example, closed)


def shape_of(node: Node) -> tuple[int, ...]:
    """The shape a node gives on the example; empty for what is no tensor."""
    return tuple(getattr(node.meta.get("tensor_meta"), "shape", ()))


def _layouts(traced: GraphModule, module: nn.Module, example: Tensor) -> dict[Node, Layout]:
    hint, shape = hint_of(module), tuple(example.shape)
    found: dict[Node, Layout] = {}
    rows: set[Node] = set()
    for node in traced.graph.nodes:
        if node.op in ("placeholder", "output"):
            continue
        if _gives_rows(node, found, rows):
            rows.add(node)
        elif layout := layout_of(shape_of(node), shape, hint):
            found[node] = layout
    return found


def _gives_rows(node: Node, found: dict[Node, Layout], rows: set[Node]) -> bool:
    """Whether a node gives channels ``(N, C, L)`` where tokens have their positions.

    That is a map that was made flat, tokens whose axes were put elsewhere, and what is made of such rows (``rows``, the
    nodes in front of it) until their axes are.
    """
    size, given = shape_of(node), node.all_input_nodes
    if len(size) != 3:
        return False
    kinds = {one: found[one].kind for one in given if one in found}
    turns, of_tokens = node.target in _TURNING, "tokens" in kinds.values()
    if not of_tokens and not rows.isdisjoint(given):
        return not turns
    flat = any(is_flat_map(size, shape_of(one)) for one, kind in kinds.items() if kind == "channels-first")
    return flat or (turns and of_tokens)


def _drop_dead(tracer: "_Tracer", graph: Graph) -> None:
    """Remove what the output does not need: assertions, and what was traced of modules that then could not be.

    What works in place, and whose result is not used, is needed all the same: ``RuntimeError``.
    """
    for node in reversed(list(graph.nodes)):
        if not node.users and node.op not in ("placeholder", "output"):
            if node not in tracer.abandoned and _works_in_place(tracer.root, node):
                raise RuntimeError(f"'{node}' works in place, which a graph does not show")
            graph.erase_node(node)


def _works_in_place(root: nn.Module, node: Node) -> bool:
    if node.op == "call_module":
        return bool(getattr(root.get_submodule(str(node.target)), "inplace", False))
    name = str(getattr(node.target, "__name__", node.target))
    return (name.endswith("_") and not name.endswith("__")) or bool(node.kwargs.get("inplace"))


class _Tracer(NodePathTracer):
    """A tracer that takes a module it cannot look into as one step, and leaves the root's options at their defaults."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._named: Counter[str] = Counter()
        self.closed: set[nn.Module] = set()
        self.abandoned: set[Node] = set()  # what was traced of modules before they turned out to be untraceable

    def create_args_for_root(self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None) -> Any:
        """Make the images the only input: an optional mask would be traced as if it were given."""

        def of_images(module: nn.Module, images: Tensor) -> Any:
            return root_fn(module, images)

        return super().create_args_for_root(of_images if is_module else root_fn, is_module, concrete_args)

    def is_leaf_module(self, m: nn.Module, module_qualname: str) -> bool:
        """Library layers, and what has turned out to be untraceable."""
        return m in self.closed or super().is_leaf_module(m, module_qualname)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Trace into ``m``, or take it whole where that fails: code that looks at its data has no trace."""
        before = set(self.graph.nodes)
        with suppress(Exception):
            return super().call_module(m, forward, args, kwargs)
        self.abandoned |= set(self.graph.nodes) - before
        self.closed.add(m)
        return super().call_module(m, forward, args, kwargs)

    def _get_node_qualname(self, module_qualname: str, node: Node) -> str:
        """A module's own path, or its caller's path and the function; torchvision's renames what ends in a number."""
        name = str(node.target)
        if node.op != "call_module":
            name = ".".join(filter(None, [module_qualname, re.sub(r"_\d+$", "", str(node))]))
        self._named[name] += 1
        return name if self._named[name] == 1 else f"{name}_{self._named[name] - 1}"
