"""Split any classifier into features and head, by the best of three ways that works."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from reciprocam_bench.backbones import graph
from reciprocam_bench.backbones.backbone import Backbone, Preprocessing, SplitKind
from reciprocam_bench.backbones.fold import fold_batch_norms
from reciprocam_bench.backbones.head import find_linear_head
from reciprocam_bench.backbones.replace import split_by_replacing
from reciprocam_bench.errors import UserError

_Halves = tuple[nn.Module, nn.Module, str]


# What is made in a caller's inference mode could never be differentiated.
@torch.inference_mode(False)
def split_backbone(
    module: nn.Module,
    example_input: Tensor,
    layer: str = "auto",
    *,
    device: str | torch.device = "cpu",
    name: str = "custom",
    fold: bool = True,
    preprocessing: Preprocessing | None = None,
    weights: dict[str, str] | None = None,
) -> Backbone:
    """Split ``module`` at ``layer``; the module itself is left untouched (a frozen copy in ``eval`` mode is split).

    Args:
        module: a classifier, images ``(N, 3, H, W)`` to logits ``(N, K)``.
        example_input: images of the size to be explained, ``(N, 3, H, W)``.
        layer: ``auto`` for the last spatial feature map, or the dotted name of a module.
        device: where the copy lives.
        name: the model's id in tables.
        fold: fold batch norms into convolutions where that is exact (graph splits only).
        preprocessing: how the model wants its images; ImageNet's usual statistics if left out.
        weights: where the weights came from, for the record.

    Raises:
        UserError: if the module gives no logits, or the layer is unknown or is not a cut.
    """
    device = torch.device(device)
    module = copy.deepcopy(module).eval().requires_grad_(False).to(device)
    example = example_input.detach().to(device)
    sizes = _OutputSizes(module)
    try:
        with torch.no_grad():
            logits = sizes.run(example)
    except (AssertionError, RuntimeError, ValueError) as wrong:
        side = "x".join(map(str, example.shape[2:]))
        reason = " ".join(str(wrong).split())[:160]
        raise UserError(f"{name}: the model cannot take {side} images: {reason}; set preprocess=model") from None
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise UserError(f"{name}: the model must return logits (N, K); it returns {_describe(logits)}")
    kind, (features, head, found), error = _first_that_works(module, example, layer, logits, name)
    folded = 0
    if fold and isinstance(features, GraphModule) and isinstance(head, GraphModule):
        folded = fold_batch_norms(features, head)
    features, head = (half.to(memory_format=torch.channels_last) for half in (features, head))
    with torch.no_grad():
        maps = features(example)
        before = maps.clone()
        again = _difference(head(maps), logits)
        error = again if folded else error
        if not torch.equal(maps, before):
            head, maps = _OnACopy(head), before
    shape = (maps.shape[1], maps.shape[2], maps.shape[3])
    return Backbone(
        name=name,
        features=features,
        head=head,
        layer=found,
        split=kind,
        split_error=error,
        linear=find_linear_head(head, shape, logits.shape[1], device),
        num_classes=logits.shape[1],
        feature_shape=shape,
        bytes_per_image=sizes.bytes_per_image(len(example)),
        device=device,
        preprocessing=preprocessing or Preprocessing(),
        weights=weights or {},
        folded_batch_norms=folded,
    )


def _first_that_works(
    module: nn.Module, example: Tensor, layer: str, logits: Tensor, name: str
) -> tuple[SplitKind, _Halves, float]:
    reasons = []
    ways: dict[SplitKind, Callable[[nn.Module, Tensor, str], _Halves]] = {
        "graph": _split_by_graph,
        "timm": _split_by_timm,
        "replace": split_by_replacing,
    }
    for kind, way in ways.items():
        try:
            halves = way(module, example, layer)
            with torch.no_grad():
                error = _difference(halves[1](halves[0](example)), logits)
        except UserError as reason:
            if kind == "graph":  # the trace worked: its word on the layer is final
                raise UserError(f"{name}: {reason}") from None
            reasons.append(f"{kind}: {reason}")
            continue
        except Exception as reason:  # tracing strange code fails in every way there is; the next way may work
            reasons.append(f"{kind}: {type(reason).__name__}: {str(reason).splitlines()[0] if str(reason) else ''}")
            continue
        if error <= 1e-3 * max(1.0, float(logits.abs().max())):
            return kind, halves, error
        reasons.append(f"{kind}: head(features(x)) differs from the model by {error:.2g}")
    raise UserError(f"{name}: layer '{layer}' cannot be split off ({'; '.join(reasons)}); name another layer")


def _split_by_graph(module: nn.Module, example: Tensor, layer: str) -> _Halves:
    network = graph.trace(module, example)
    try:
        node = graph.find_layer(network, layer)
    except graph.NotACut:
        if layer == "auto":  # some networks keep their map in another shape; timm's own split may know
            raise RuntimeError("no spatial cut in the traced graph") from None
        raise
    features, head = graph.cut(network, node)
    return features, head, graph.layer_name(network, node)


class _OnACopy(nn.Module):
    """A head whose first layer works in place, run on a copy: its maps belong to every method."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, maps: Tensor) -> Tensor:
        return self.head(maps.clone())


class _Method(nn.Module):
    """A method of a module as a module."""

    def __init__(self, module: nn.Module, method: str) -> None:
        super().__init__()
        self.module = module
        self._method = method

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self.module, self._method)(x)


def _split_by_timm(module: nn.Module, example: Tensor, layer: str) -> _Halves:
    if layer != "auto" or not hasattr(module, "forward_features") or not hasattr(module, "forward_head"):
        raise UserError("only for timm models with layer: auto")
    features, head = _Method(module, "forward_features"), _Method(module, "forward_head")
    with torch.no_grad():
        shape = features(example).shape
    if len(shape) != 4 or min(shape[2:]) <= 1 or not graph.has_shape_of_image(tuple(shape), *example.shape[2:]):
        raise UserError(f"forward_features gives {tuple(shape)}, not a map (N, C, h, w)")
    return features, head, "forward_features"


def _difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max()) if a.shape == b.shape else float("inf")


def _describe(output: Any) -> str:
    return f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__


class _OutputSizes:
    """Runs a module once and notes the size of its largest layer output."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._largest = 0

    def run(self, example: Tensor) -> Any:
        hooks = [m.register_forward_hook(self._note) for m in self._module.modules()]
        try:
            return self._module(example)
        finally:
            for hook in hooks:
                hook.remove()

    def _note(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            self._largest = max(self._largest, output.numel() * output.element_size())

    def bytes_per_image(self, images: int) -> int:
        # A residual block holds about four maps of the largest size at its widest place.
        return max(1, 4 * self._largest // images)
