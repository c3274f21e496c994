"""Finds other layers inside a backbone's features, for classes that read several."""

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter, Node

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.backbones.layout import ToMap
from reciprocam_bench.errors import UserError


def tap(backbone: Backbone, features: nn.Module, layer: str) -> str:
    """Where under ``features``, a copy of the backbone's, the output of ``layer`` is: ``.name``, or nothing for all.

    A traced network gets a module there that only passes it on. Raises ``UserError`` for a layer that is not found.
    """
    if layer == backbone.layer:
        return ""
    if isinstance(features, ToMap):
        raise UserError(
            f"layers: {backbone.name} keeps its positions as tokens or channels last, which the classes of other "
            f"libraries can read at the backbone's own layer '{backbone.layer}' only; leave layers out"
        )
    if isinstance(features, GraphModule):
        return f".{_insert(features, _find(backbone, features, layer))}"
    names = [name for name, _ in features.named_modules() if name == layer or name.endswith(f".{layer}")]
    if not names:
        raise UserError(f"layer '{layer}' is not in {backbone.name} before '{backbone.layer}'")
    return f".{names[0]}"


class _Search(Interpreter):
    """Runs a graph and notes the first node whose output is the one wanted."""

    def __init__(self, network: GraphModule, wanted: Tensor) -> None:
        super().__init__(network)
        self._wanted = wanted
        self.found: Node | None = None

    def run_node(self, n: Node) -> object:
        output = super().run_node(n)
        if self.found is None and isinstance(output, Tensor) and output.shape == self._wanted.shape:
            scale = float(self._wanted.abs().max())
            if torch.allclose(output, self._wanted, rtol=1e-3, atol=1e-4 * scale):
                self.found = n
        return output


def _find(backbone: Backbone, features: GraphModule, layer: str) -> Node:
    """By its values: names are lost where batch norms are folded."""
    channels, side = len(backbone.preprocessing.mean), backbone.preprocessing.crop
    noise = torch.randn(1, channels, side, side, generator=torch.Generator().manual_seed(0)).to(backbone.device)
    with torch.no_grad():
        search = _Search(features, backbone.at(layer).features(noise))
        search.run(noise)
    if search.found is None:
        raise UserError(f"layer '{layer}' is not in {backbone.name} before '{backbone.layer}'")
    return search.found


def _insert(features: GraphModule, node: Node) -> str:
    name = f"tap_{node.name}"
    features.add_submodule(name, nn.Identity())
    with features.graph.inserting_after(node):
        passed = features.graph.call_module(name, (node,))
    node.replace_all_uses_with(passed, delete_user_cb=lambda user: user is not passed)
    features.recompile()
    return name
