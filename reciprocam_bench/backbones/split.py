"""Split a classifier into features and head, by the first way that works."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from reciprocam_bench.backbones.backbone import Backbone, Preprocessing, SplitKind
from reciprocam_bench.backbones.cuts import NetworkCuts
from reciprocam_bench.backbones.fold import Folded, fold_batch_norms
from reciprocam_bench.backbones.freeze import IMAGE, FrozenNetwork, ModelInfo, freeze
from reciprocam_bench.backbones.layout import FromMap, Halves, Layout, OnACopy, ToMap
from reciprocam_bench.backbones.recognised_head import find_linear_head
from reciprocam_bench.backbones.ways import difference, first_that_works
from reciprocam_bench.errors import UserError

# Logits of a second call may differ by this share of the largest: the order in which a GPU adds.
_SAME = 1e-3


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
    multi_label: bool = False,
    class_names: Sequence[str] | None = None,
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
        preprocessing: how the model wants its images. If left out, ImageNet's usual statistics for three channels,
            and none for another number (values from 0 to 1 as they are).
        weights: where the weights came from, for the record.
        multi_label: the outputs do not exclude one another: probabilities are sigmoids. A network with one output
            needs it.
        class_names: a name for each output.

    Raises:
        UserError: if the module gives no logits, its weights are not finite, or the layer is unknown or not a cut.

    Example:
        >>> import torch, torchvision, reciprocam_bench as rb
        >>> network = torchvision.models.mobilenet_v2(num_classes=7)
        >>> backbone = rb.split_backbone(network, torch.randn(2, 3, 224, 224), layer="features.13")
        >>> backbone.feature_shape, backbone.num_classes, backbone.split
        ((96, 14, 14), 7, 'graph')
    """
    names = None if class_names is None else tuple(class_names)
    info = ModelInfo(name, preprocessing or _usual(example_input), weights or {}, multi_label, names)
    network = freeze(module, info, example_input, layer, device)
    splitter = _Splitter(network, fold)
    backbone = splitter.split(layer)
    if layer == IMAGE:
        return backbone
    return NetworkCuts(network.module, network.example, splitter.split, backbone).of_own()


def _usual(example: Any) -> Preprocessing:
    channels = example.shape[1] if isinstance(example, Tensor) and example.ndim == 4 else 3
    return Preprocessing() if channels == 3 else Preprocessing((0.0,) * channels, (1.0,) * channels)


@dataclass(frozen=True)
class _Splitter:
    """Splits a frozen network at any layer, again and again."""

    network: FrozenNetwork
    fold: bool
    folded: Folded = field(default_factory=dict)

    @torch.inference_mode(False)
    def split(self, layer: str) -> Backbone:
        if layer == IMAGE:
            sides = self.network.example.shape[2], self.network.example.shape[3]
            halves = Halves(nn.Identity(), self.network.module, IMAGE, Layout("channels-first", sides))
            return self._backbone("call", halves, 0.0)
        return self._backbone(*first_that_works(self.network, layer))

    def _backbone(self, kind: SplitKind, halves: Halves, error: float) -> Backbone:
        network, (features, head, layer, layout) = self.network, halves
        folded = 0
        if self.fold and isinstance(features, GraphModule) and isinstance(head, GraphModule):
            folded = fold_batch_norms(features, head, shared=self.folded)
        if layout.kind != "channels-first":
            features, head = ToMap(features, layout), FromMap(head, layout)
        _to_channels_last(features, head)
        head, shape, error_now = _tried(features, head, network)
        if kind == "call" and error_now > _SAME * float(network.logits.abs().max()):
            raise UserError(
                f"{network.info.name}: the model answers the same images otherwise when it is called again, by "
                f"{error_now:.2g}; it keeps state or is random, and its maps would mean nothing"
            )
        # Tokens beside the map, or a whole network, are no pooled linear head.
        simple = not layout.prefix and kind != "call"
        classes, device = network.logits.shape[1], network.example.device
        return Backbone(
            features=features,
            head=head,
            layer=layer,
            split=kind,
            split_error=error_now if folded else error,
            linear=find_linear_head(head, shape, classes, device) if simple else None,
            num_classes=classes,
            feature_shape=shape,
            prefix_tokens=layout.prefix,
            bytes_per_image=network.bytes_per_image,
            device=device,
            folded_batch_norms=folded,
            **vars(network.info),
        )


def _tried(
    features: nn.Module, head: nn.Module, network: FrozenNetwork
) -> tuple[nn.Module, tuple[int, int, int], float]:
    """Run the halves on the example: a head that leaves its maps alone, the maps' shape, and the error."""
    with torch.no_grad():
        output = features(network.example)
        maps, *context = output if isinstance(output, tuple) else (output,)
        before = maps._version  # values alone may stay as they are on these images
        logits = head(maps, *context)
    _check_precision(network, maps=maps, logits=logits)
    error = difference(logits, network.logits)
    safe = head if maps._version == before else OnACopy(head)
    return safe, (maps.shape[1], maps.shape[2], maps.shape[3]), error


def _check_precision(network: FrozenNetwork, **found: Tensor) -> None:
    """Refuse a network that computes in half precision by itself: its maps and metrics would be too coarse."""
    images = network.example.dtype
    for what, tensor in ({"images": network.example} | found).items():
        if tensor.dtype != images or tensor.dtype not in (torch.float32, torch.float64):
            raise UserError(
                f"{network.info.name}: {what} of {tensor.dtype}; give a network of float32 throughout (module.float(), "
                "no autocast of its own); the config's precision computes it in fewer bits"
            )


def _to_channels_last(*modules: nn.Module) -> None:
    """As ``Module.to`` does it, which fails on the weights of a 3-d convolution."""
    for tensor in (t for m in modules for t in (*m.parameters(), *m.buffers()) if t.ndim == 4):
        tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
