"""A classifier split at one layer: what every explainer and metric works with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from reciprocam_bench.backbones.arithmetic import Arithmetic
from reciprocam_bench.backbones.chunking import Chunking
from reciprocam_bench.errors import UserError

SplitKind = Literal["graph", "replace", "call"]


@dataclass(frozen=True)
class Preprocessing:
    """How the model wants its images: channel statistics always, geometry where a run asks for the model's own.

    Attributes:
        mean: of each channel, of values from 0 to 1: three for RGB, one for grey.
        std: as ``mean``.
        resize: what the shorter side becomes, in pixels.
        crop: side of the square cut from the centre, in pixels.
        interpolation: of the resize: ``bilinear``, ``bicubic`` or ``nearest``.
        squash: resize both sides, not the shorter one.
    """

    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    resize: int = 256
    crop: int = 224
    interpolation: str = "bilinear"
    squash: bool = False

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not self.mean or min(self.std) <= 0:
            raise UserError(
                f"preprocessing: mean and std are a value for each channel, std above 0; not {self.mean} and {self.std}"
            )
        if self.interpolation not in ("bilinear", "bicubic", "nearest"):
            raise UserError(f"preprocessing: interpolation is bilinear, bicubic or nearest, not {self.interpolation}")
        if min(self.resize, self.crop) < 1:
            raise UserError(f"preprocessing: resize and crop are pixels; not {self.resize} and {self.crop}")


@dataclass(frozen=True)
class LinearHead:
    """A head that is global average pooling and one linear layer: ``logits = mean(A) @ weight.T + bias``.

    ``size``: the only map size, (h, w), of which that is known to be so; None: it is so of any. ``holds``: whether it
    is so of the maps at hand; if not, the weights are still those of the classes.
    """

    weight: Tensor  # (K, C)
    bias: Tensor  # (K,)
    size: tuple[int, int] | None = None
    holds: bool = True


class Cuts(Protocol):
    """Where else a network can be cut; for methods that read several layers.

    Attributes:
        example: images the network takes, ``(N, 3, H, W)``, on its device.
    """

    example: Tensor

    def at(self, layer: str) -> "Backbone":
        """The same network, weights and device, cut at another layer."""

    def stages(self) -> tuple[str, ...]:
        """The last cut of every resolution, from fine to coarse."""


@dataclass(frozen=True)
class Backbone:
    """A frozen classifier in ``eval`` mode, cut in two: ``head(features(images))`` are its logits.

    A transformer's features are its patch tokens as a map. What else crosses the cut (class and register tokens) is
    the map's context ``(N, P, C)``: such ``features`` give ``(maps, context)``, and their head is ``head(maps,
    context)``. `encode` and `classify` do the same for networks with and without context.

    Attributes:
        features: ``(N, 3, H, W)`` images to the feature map ``A``, ``(N, C, h, w)``, or to ``(A, context)``.
        head: ``(M, C, h, w)`` feature maps, and their context ``(M or 1, P, C)`` where there is one, to logits
            ``(M, K)``.
        layer: the name of the layer whose output ``A`` is.
        split: how the cut was made: ``graph`` (two halves of the traced graph), ``replace`` (the layer's output
            replaced during a full forward) or ``call`` (at the image itself: the model is only called).
        split_error: largest absolute difference of ``head(features(x))`` and the uncut model on the example input.
        linear: the pooled linear head, where the head is one.
        feature_shape: ``(C, h, w)`` at the example's size.
        prefix_tokens: ``P``, how many tokens cross the cut beside the map; 0 for networks without context.
        bytes_per_image: estimate of the memory one image's forward pass holds at once, in bytes.
        weights: where the weights came from, for the record of a run.
        folded_batch_norms: how many batch norms went into their convolutions.
        multi_label: the classes do not exclude one another; their probabilities are sigmoids, not a softmax.
        class_names: a name for each output, where they are known.
        cuts: where else the network can be cut, where that is known.
        arithmetic: how features and head are computed; `encode` and `classify` do it so, the modules themselves are
            as they were.
        chunking: what running out of memory has made of the chunks.
        differentiable: whether PyTorch runs it, so that gradients and hooks are to be had.
        own_maps: maps ``(N, h, w)`` that an exported file gives itself, of images and classes ``(N,)``.
    """

    name: str
    features: nn.Module
    head: nn.Module
    layer: str
    split: SplitKind
    split_error: float
    linear: LinearHead | None
    num_classes: int
    feature_shape: tuple[int, int, int]
    bytes_per_image: int
    device: torch.device
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    weights: dict[str, str] = field(default_factory=dict)
    folded_batch_norms: int = 0
    prefix_tokens: int = 0
    memory_budget: int | None = None  # bytes; see chunk_size
    multi_label: bool = False
    class_names: tuple[str, ...] | None = None
    cuts: Cuts | None = None
    arithmetic: Arithmetic = field(default_factory=Arithmetic)
    chunking: Chunking = field(default_factory=Chunking)
    differentiable: bool = True
    own_maps: Callable[[Tensor, Tensor], Tensor] | None = None

    def __call__(self, images: Tensor) -> Tensor:
        """Logits ``(N, K)`` of preprocessed images ``(N, 3, H, W)``."""
        return self.classify(*self.encode(images))

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Feature maps ``(N, C, h, w)`` of preprocessed images, and their context ``(N, P, C)`` or None."""
        output = self.arithmetic(self.features, images)
        return output if isinstance(output, tuple) else (output, None)

    def classify(self, maps: Tensor, context: Tensor | None = None) -> Tensor:
        """Logits ``(M, K)`` of feature maps ``(M, C, h, w)`` and their context, as `encode` gives them."""
        return self.arithmetic(self.head, maps, *([] if context is None else [context]))

    def probabilities(self, logits: Tensor) -> Tensor:
        """Class probabilities of logits ``(..., K)``: softmax, or sigmoid for a multi-label network."""
        return logits.sigmoid() if self.multi_label else logits.softmax(-1)

    def prepare(self, images: Tensor) -> Tensor:
        """Move images to the device, channels last in memory as the weights are."""
        return moved(images, self.device).contiguous(memory_format=torch.channels_last)

    def batch(self, images: Sequence[Tensor]) -> Tensor:
        """Images ``(3, H, W)`` as a prepared batch; they are joined on the device, as what joins them is not pinned."""
        return self.prepare(torch.stack([moved(image, self.device) for image in images]))

    def chunk_size(self, bytes_each: int | None = None) -> int:
        """How many inputs fit the memory budget at once: at least 1, at most 64 on a CPU and 256 elsewhere.

        ``bytes_each`` is what one input needs, in bytes; a full forward pass if left out. The default budget is a
        quarter of the free memory on CUDA and 512 MiB elsewhere. Beyond the most nothing is gained.
        """
        budget = self.memory_budget
        if budget is None:
            budget = _free_on_cuda(self.device) // 4 if self.device.type == "cuda" else 1 << 29
        largest = 64 if self.device.type == "cpu" else 256
        fit = min(largest, budget // max(1, bytes_each or self.bytes_per_image))
        return max(1, fit // self.chunking.divisor)

    def at(self, layer: str) -> "Backbone":
        """The same network cut at another layer; ``UserError`` for one that is unknown or no cut."""
        if layer == self.layer:
            return self
        other = self._cuts().at(layer)
        return replace(
            other,
            weights=self.weights,
            memory_budget=self.memory_budget,
            multi_label=self.multi_label,
            arithmetic=self.arithmetic,
            chunking=self.chunking,
        )

    @property
    def uncompiled(self) -> "Backbone":
        """The same network, its halves run as they are: for what looks inside them."""
        return replace(self, arithmetic=self.arithmetic.uncompiled)

    @property
    def exact(self) -> "Backbone":
        """The same network in plain float32 (outside of it see `arithmetic.without_tf32`)."""
        return replace(self, arithmetic=Arithmetic())

    def stages(self) -> tuple[str, ...]:
        """The last layer of every resolution that is a cut, from fine to coarse; this backbone's own is the last."""
        return self._cuts().stages()

    def _cuts(self) -> Cuts:
        if self.cuts is None:
            raise UserError(f"{self.name}: this network can be cut at '{self.layer}' only")
        return self.cuts


def moved(tensor: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """The tensor on the device: from pinned memory without waiting, from other memory as ever.

    MPS may read the source too late, and is waited for.
    """
    return tensor.to(device, dtype, non_blocking=device.type != "mps")


def _free_on_cuda(device: torch.device) -> int:
    """Bytes that can be had: what the driver has, and what this process has from it and does not use."""
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept
