"""Take a classifier as it is given, freeze it, and see that it answers images with logits."""

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from reciprocam_bench.backbones.backbone import Preprocessing
from reciprocam_bench.errors import UserError, in_words

# The layer in front of all layers: features are the image itself, the head is the model.
IMAGE = "image"

_SIZE = re.compile("size|height|width|shape|resolution|divisible", re.IGNORECASE)


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a network beside its modules.

    Attributes:
        name: in tables and messages.
        preprocessing: how it wants its images.
        weights: where they came from, for the record of a run.
        multi_label: the outputs do not exclude one another.
        class_names: a name for each output, where they are known.
    """

    name: str
    preprocessing: Preprocessing
    weights: dict[str, str]
    multi_label: bool = False
    class_names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class FrozenNetwork:
    """A classifier in ``eval`` mode without gradients, on its device, with what it makes of the example.

    Attributes:
        module: images ``(N, 3, H, W)`` to logits ``(N, K)``.
        info: what is known of it.
        example: ``(N, 3, H, W)``.
        logits: of the example, ``(N, K)``.
        bytes_per_image: estimate of the memory one image's forward pass holds at once.
    """

    module: nn.Module
    info: ModelInfo
    example: Tensor
    logits: Tensor
    bytes_per_image: int


def freeze(module: Any, info: ModelInfo, example_input: Any, layer: str, device: str | torch.device) -> FrozenNetwork:
    """Copy a classifier to the device and run it once; ``UserError`` for what is no sound classifier of the example.

    For ``layer: image`` what cannot be copied, or is no module, is called as it is.
    """
    name, place = info.name, _device(device)
    if not isinstance(example_input, Tensor):
        raise UserError(f"{name}: example_input must be images (N, 3, H, W); it is a {type(example_input).__name__}")
    channels = len(info.preprocessing.mean)
    if not example_input.numel():
        raise UserError(f"{name}: example_input holds no image; give one at least, (N, 3, H, W)")
    if example_input.ndim == 4 and example_input.shape[1] != channels:
        raise UserError(f"{name}: example_input has {example_input.shape[1]} channels, its preprocessing {channels}")
    module = _frozen(module, layer, name, place)
    _check_weights(module, name)
    example = example_input.detach().to(place, copy=True)
    if example.is_floating_point() and example.min() == example.max():
        # Of a constant picture all that is wrong with a cut may be right: noise of its shape stands for it.
        noise = torch.rand(example.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
        example += noise.to(example)
    sizes = _OutputSizes(module)
    logits = _logits(sizes, example, name)
    if layer != IMAGE and not logits.isfinite().all():
        raise UserError(f"{name}: the logits of the example are NaN or infinite; check example_input and the network")
    if logits.shape[1] == 1 and not info.multi_label:
        raise UserError(f"{name}: the softmax of one output is always 1; set multi_label to take its sigmoid")
    if info.class_names is not None and len(info.class_names) != logits.shape[1]:
        raise UserError(f"{name}: class_names has {len(info.class_names)} names for {logits.shape[1]} outputs")
    return FrozenNetwork(module, info, example, logits, sizes.bytes_per_image(example))


def _device(device: str | torch.device) -> torch.device:
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        raise UserError(f"device {device!r} is unknown; use cpu, cuda or mps") from None
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present.get(found.type, True):
        raise UserError(f"device '{found}' is not available here; use cpu")
    return found


def _check_weights(module: nn.Module, name: str) -> None:
    """Refuse broken numbers; of the buffers only statistics are weights, others may mask with infinity."""
    statistics = ((n, b) for n, b in module.named_buffers() if n.endswith(("running_mean", "running_var")))
    for key, tensor in [*module.named_parameters(), *statistics]:
        if not is_lazy(tensor) and not tensor.isfinite().all():
            raise UserError(f"{name}: the weights hold NaN or infinite values ('{key}' first); give sound weights")


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
    before = example._version  # values alone may stay as they are on these images
    try:
        with torch.no_grad():
            logits = sizes.run(example)
    except (Exception, SystemExit) as wrong:  # a network can refuse its images in every way there is
        reason = in_words(wrong, 160)
        cure = "; if it wants another size, set preprocess=model" if _SIZE.search(reason) else ""
        given = f"images {tuple(example.shape)} of {example.dtype}"
        raise UserError(f"{name}: the model cannot take {given}: {reason}{cure}") from None
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise UserError(f"{name}: the model must return logits (N, K); it returns {_describe(logits)}")
    if len(logits) != len(example) or not logits.shape[1]:
        wanted = f"a row of logits for each of {len(example)} images"
        raise UserError(f"{name}: the model must return {wanted}; it returns {_describe(logits)}")
    if not logits.is_floating_point():
        raise UserError(f"{name}: the model must return logits as floating-point numbers, not {logits.dtype}")
    if example._version != before:
        raise UserError(f"{name}: the model changes its input in place; let it work on a copy (images.clone())")
    return logits


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
