"""Set how a backbone computes, and try it: a network that cannot is told before work begins."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from reciprocam_bench.backbones.arithmetic import Arithmetic
from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.errors import UserError, in_words

# Every number of inputs is compiled anew, with and without gradients; beyond torch's 8 it would give up, silently.
_SHAPES = 64


def computing(backbone: Backbone, precision: str, compile: bool, image_size: int | None = None) -> Backbone:
    """The backbone with features and head in a precision, and compiled if asked.

    Args:
        backbone: as it was loaded.
        precision: as in `Arithmetic`; the process's part of ``tf32`` is not set here.
        compile: compile both halves by ``torch.compile``.
        image_size: side of the images that it is tried on, in pixels; the model's own if None.

    Raises:
        UserError: for a network that has no traced halves, or does not run so.
    """
    arithmetic = Arithmetic(precision)
    if not backbone.differentiable and (compile or precision != "float32"):
        raise UserError(f"{backbone.name} runs as its file says; set precision: float32 and compile: false")
    if compile:
        if backbone.split == "replace":
            raise UserError(
                f"compile: {backbone.name} could not be traced and runs hooks of its own in every pass, which cannot "
                "be compiled; set compile to false"
            )
        arithmetic = replace(
            arithmetic,
            compiled={half: compiled(half, backbone.device) for half in (backbone.features, backbone.head)},
            fixed_shapes=backbone.device.type == "cuda",
        )
    ready = replace(backbone, arithmetic=arithmetic)
    if not arithmetic.is_plain:
        _try(ready, image_size or backbone.preprocessing.crop)
    return ready


def compiled(half: nn.Module, device: torch.device) -> Callable[..., Any]:
    """A half of a network, compiled when first called; on CUDA replayed as a graph where nothing is differentiated.

    A backward pass needs what the forward pass left, which the replay of another graph may overwrite: with gradients
    there is no replay. A function, which copies of the network share: each would be compiled anew.
    """
    torch._dynamo.config.cache_size_limit = max(_SHAPES, torch._dynamo.config.cache_size_limit)
    if device.type != "cuda":
        module = torch.compile(half)
        return lambda *inputs: module(*inputs)
    plain = torch.compile(half, dynamic=False)
    replayed = torch.compile(half, dynamic=False, mode="reduce-overhead")

    def call(*inputs: Tensor) -> Any:
        if torch.is_grad_enabled():
            return plain(*inputs)
        torch.compiler.cudagraph_mark_step_begin()
        # Copies: the next replay writes to the same memory.
        return tree_map(torch.clone, replayed(*inputs))

    return call


def _try(backbone: Backbone, size: int) -> None:
    arithmetic, name = backbone.arithmetic, backbone.name
    shape = (2, len(backbone.preprocessing.mean), size, size)
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            logits = backbone(backbone.prepare(images))
    except Exception as error:  # compilers and kernels fail in every way there is
        if arithmetic.compiled:
            what, cure = "compile", "set compile to false"
        else:
            what, cure = f"precision {arithmetic.precision}", "use float32"
        raise UserError(f"{what}: {name} does not run so on {backbone.device}: {in_words(error)}; {cure}") from None
    if not logits.isfinite().all():
        raise UserError(
            f"precision {arithmetic.precision}: the logits of {name} are NaN or infinite; use float32 or bfloat16"
        )
