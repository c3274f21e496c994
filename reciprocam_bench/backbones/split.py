"""Split any classifier into features and head, by the best of several ways that works."""

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from reciprocam_bench.backbones.backbone import Backbone, Preprocessing, SplitKind
from reciprocam_bench.backbones.cuts import NetworkCuts
from reciprocam_bench.backbones.fold import fold_batch_norms
from reciprocam_bench.backbones.layout import FromMap, Halves, Layout, OnACopy, ToMap
from reciprocam_bench.backbones.recognised_head import find_linear_head
from reciprocam_bench.backbones.ways import difference, first_that_works
from reciprocam_bench.errors import UserError, in_words

# The layer in front of all layers: features are the image itself, the head is the model.
IMAGE = "image"


_SIZE = re.compile("size|height|width|shape|resolution|divisible", re.IGNORECASE)


# What is made in a caller's inference mode could never be differentiated.
@torch.inference_mode(False)
def split_backbone(
    module: nn.Module | Callable[[Tensor], Tensor],
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
        module: a classifier, images ``(N, 3, H, W)`` to logits ``(N, K)``. For ``layer="image"`` any callable that
            does this; one that is no module, or cannot be copied, is called as it is.
        example_input: images of the size to be explained, ``(N, 3, H, W)``.
        layer: ``auto`` for the last map that all of the logits come from; the dotted name of a module; or ``image``
            for models that can only be called.
        device: where the copy lives.
        name: the model's id in tables.
        fold: fold batch norms into convolutions where that is exact (graph splits only).
        preprocessing: how the model wants its images; ImageNet's usual statistics if left out.
        weights: where the weights came from, for the record.

    Raises:
        UserError: if the module gives no logits, or the layer is unknown or is not a cut.

    Example:
        >>> import torch, torchvision, reciprocam_bench as rb
        >>> network = torchvision.models.mobilenet_v2(num_classes=7)
        >>> backbone = rb.split_backbone(network, torch.randn(2, 3, 224, 224), layer="features.13")
        >>> backbone.feature_shape, backbone.num_classes, backbone.split
        ((96, 14, 14), 7, 'graph')
    """
    device = _device(device)
    if not isinstance(example_input, Tensor):
        raise UserError(f"{name}: example_input must be images (N, 3, H, W); it is a {type(example_input).__name__}")
    module = _frozen(module, layer, name, device)
    example = example_input.detach().to(device)
    sizes = _OutputSizes(module)
    logits = _logits(sizes, example, name)
    preprocessing, size = preprocessing or Preprocessing(), sizes.bytes_per_image(example)
    network = _Network(module, example, logits, name, fold, size, preprocessing, weights or {})
    backbone = network.split(layer)
    if layer == IMAGE:
        return backbone
    return NetworkCuts(module, example, network.split, backbone).of_own()


def _device(device: str | torch.device) -> torch.device:
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        raise UserError(f"device {device!r} is unknown; use cpu, cuda or mps") from None
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present.get(found.type, True):
        raise UserError(f"device '{found}' is not available here; use cpu")
    return found


def _frozen(module: Any, layer: str, name: str, device: torch.device) -> nn.Module:
    """A copy in ``eval`` mode without gradients; for ``layer: image`` what cannot be copied is called as it is."""
    if isinstance(module, nn.Module):
        try:
            return copy.deepcopy(module).eval().requires_grad_(False).to(device)
        except Exception as reason:  # locks, handles, tensors of a graph: a module can hold anything
            short = (str(reason).splitlines() or [""])[0][:120]
            if layer != IMAGE:
                raise UserError(
                    f"{name}: the module cannot be copied ({type(reason).__name__}: {short}); "
                    "explain it from outside with layer: image"
                ) from None
            if any(m.training for m in module.modules()):
                raise UserError(
                    f"{name}: a module that cannot be copied is called as it is; call .eval() on it"
                ) from None
    elif not callable(module):
        raise UserError(f"{name}: a {type(module).__name__} is no model; give a module, or a function of images")
    elif layer != IMAGE:
        raise UserError(f"{name}: a plain function cannot be split at '{layer}'; set layer='image'")
    return _AsItIs(module)


class _AsItIs(nn.Module):
    """Something to call, as a module that does not own it: never moved, frozen or put into another mode."""

    def __init__(self, call: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._call = [call]

    def forward(self, images: Tensor) -> Tensor:
        return self._call[0](images)

    def __deepcopy__(self, memo: dict[int, Any]) -> "_AsItIs":
        return _AsItIs(self._call[0])


def _logits(sizes: "_OutputSizes", example: Tensor, name: str) -> Tensor:
    try:
        with torch.no_grad():
            logits = sizes.run(example)
    except Exception as wrong:  # a network can refuse its images in every way there is
        reason = in_words(wrong, 160)
        cure = "; if it wants another size, set preprocess=model" if _SIZE.search(reason) else ""
        given = f"images {tuple(example.shape)} of {example.dtype}"
        raise UserError(f"{name}: the model cannot take {given}: {reason}{cure}") from None
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise UserError(f"{name}: the model must return logits (N, K); it returns {_describe(logits)}")
    return logits


@dataclass(frozen=True)
class _Network:
    """A frozen module on its device, with what it makes of the example; it can be split again and again."""

    module: nn.Module
    example: Tensor
    logits: Tensor
    name: str
    fold: bool
    bytes_per_image: int
    preprocessing: Preprocessing
    weights: dict[str, str]

    @torch.inference_mode(False)
    def split(self, layer: str) -> Backbone:
        if layer == IMAGE:
            halves = Halves(nn.Identity(), self.module, IMAGE, Layout("channels-first", _sides(self.example)))
            return self._backbone("call", halves, 0.0)
        return self._backbone(*first_that_works(self.module, self.example, layer, self.logits, self.name))

    def _backbone(self, kind: SplitKind, halves: Halves, error: float) -> Backbone:
        features, head, layer, layout = halves
        folded = 0
        if self.fold and isinstance(features, GraphModule) and isinstance(head, GraphModule):
            folded = fold_batch_norms(features, head)
        if layout.kind != "channels-first":
            features, head = ToMap(features, layout), FromMap(head, layout)
        _to_channels_last(features, head)
        with torch.no_grad():
            output = features(self.example)
            maps, *context = output if isinstance(output, tuple) else (output,)
            before = maps.clone()
            again = difference(head(maps, *context), self.logits)
            if not torch.equal(maps, before):
                head = OnACopy(head)
        shape = (maps.shape[1], maps.shape[2], maps.shape[3])
        # Tokens beside the map, or a whole network, are no pooled linear head.
        simple = not layout.prefix and kind != "call"
        classes, device = self.logits.shape[1], self.example.device
        return Backbone(
            name=self.name,
            features=features,
            head=head,
            layer=layer,
            split=kind,
            split_error=again if folded else error,
            linear=find_linear_head(head, shape, classes, device) if simple else None,
            num_classes=classes,
            feature_shape=shape,
            prefix_tokens=layout.prefix,
            bytes_per_image=self.bytes_per_image,
            device=device,
            preprocessing=self.preprocessing,
            weights=self.weights,
            folded_batch_norms=folded,
        )


def _to_channels_last(*modules: nn.Module) -> None:
    """As ``Module.to`` does it, which fails on the weights of a 3-d convolution."""
    for tensor in (t for m in modules for t in (*m.parameters(), *m.buffers()) if t.ndim == 4):
        tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)


def _sides(images: Tensor) -> tuple[int, int]:
    return images.shape[2], images.shape[3]


def _describe(output: Any) -> str:
    return f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__


class _OutputSizes:
    """Runs a module once and notes the size of its largest layer output."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._largest = 0
        # Compiled code calls no hooks, and does not take any.
        self._layers = [m for m in module.modules() if m is not module and not isinstance(m, torch.jit.ScriptModule)]

    def run(self, example: Tensor) -> Any:
        hooks = [m.register_forward_hook(self._note) for m in self._layers]
        try:
            return self._module(example)
        finally:
            for hook in hooks:
                hook.remove()

    def _note(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            self._largest = max(self._largest, output.numel() * output.element_size())

    def bytes_per_image(self, example: Tensor) -> int:
        # What cannot be looked into is taken for a usual first layer: 64 channels at half the resolution.
        largest = self._largest if self._layers else 6 * example.numel() * example.element_size()
        # A residual block holds about four maps of the largest size at its widest place.
        return max(1, 4 * largest // len(example))
