"""No method makes the processor wait for the GPU, but those that must: checked on a GPU that is only pretended."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import reciprocam_bench as rb
from reciprocam_bench.backbones.backbone import LinearHead
from reciprocam_bench.explainers.forward_pass import ForwardPass, forward_pass
from reciprocam_bench.explainers.registry import EXPLAINERS, make_method

# Tensors of this device have no values, so that whatever asks for one fails.
GPU = "meta"

CHEAP: dict[str, dict] = {
    "blackboxreciprocam": {"patch": 8, "stride": 8},
    "fasterscorecam": {"channels": 2},
    "iscam": {"samples": 1},
    "opticam": {"iterations": 2},
    "rise": {"samples": 4},
    "sscam": {"samples": 1},
}
# What each of these waits for.
WAITING = {
    # How many masks are left: constant channels and repeated ones are counted.
    **dict.fromkeys(("scorecam", "fasterscorecam", "iscam", "sscam"), "the number of masks"),
    # Noise belongs to an image's pixels and class, and is drawn on the processor.
    **dict.fromkeys(("random", "smoothgradcam++", "sscam"), "pixels and classes"),
    # The decomposition's own check, inside torch's library; not seen on a pretended GPU.
    **dict.fromkeys(("eigencam", "eigengradcam"), "whether the decomposition converged"),
    # Annotations may lack the class explained.
    "oracle": "whether something is annotated",
    # Which norm is the block's first one is told by its values.
    "vitreciprocam": "which norm it is",
}
# Run the network again at other layers, whose cuts no pretended network has.
ELSEWHERE = {"fusedreciprocam", "refinecam"}
# The oracle is told by annotations, which a run alone has; exported maps by a file.
METHODS = sorted(EXPLAINERS.all().keys() - ELSEWHERE - {"vitreciprocam", "oracle", "exported"})
UNSEEN = {"eigencam", "eigengradcam"}


class Waits(Exception):
    """The processor would wait here."""


class NoBlockingCopies(TorchDispatchMode):
    """Copies from the processor to the pretended GPU may be staged, but must not block."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten._to_copy.default:
            target = kwargs.get("device") or args[0].device
            if target.type == GPU and args[0].device.type != GPU and not kwargs.get("non_blocking"):
                raise Waits("a copy to the GPU that blocks")
        return func(*args, **kwargs)


@contextmanager
def nothing_is_read() -> Iterator[None]:
    """A scope in which tensors of the pretended GPU have a shape and no values: reading one is an error."""
    with NoBlockingCopies():
        try:
            yield
        except (NotImplementedError, RuntimeError) as error:
            if "meta" not in str(error).lower():
                raise
            raise Waits(str(error)) from None


def on_gpu(module: nn.Module) -> nn.Module:
    """A copy of a module whose weights lie on the pretended GPU."""
    module = copy.deepcopy(module)
    for inner in module.modules():
        for own in (inner._parameters, inner._buffers):
            for name, tensor in own.items():
                own[name] = None if tensor is None else _like(tensor)
    return module


def _like(tensor: Tensor) -> Any:
    new = torch.empty_like(tensor, device=GPU, requires_grad=False)
    return nn.Parameter(new, requires_grad=False) if isinstance(tensor, nn.Parameter) else new


def pretended(backbone: rb.Backbone) -> ForwardPass:
    """A forward pass of three images of a network on the pretended GPU."""
    linear = backbone.linear and LinearHead(_like(backbone.linear.weight), _like(backbone.linear.bias))
    halves = {"features": on_gpu(backbone.features), "head": on_gpu(backbone.head)}
    moved = replace(backbone, **halves, linear=linear, device=torch.device(GPU), memory_budget=1 << 16)
    images = torch.empty(3, 3, 16, 16, device=GPU)
    fp = forward_pass(moved, images, torch.zeros(3, dtype=torch.int64, device=GPU))
    return replace(fp, objects=torch.empty(3, 16, 16, device=GPU))


def options(name: str, closed: bool) -> dict:
    given = CHEAP.get(name, {})
    return given if closed or name not in ("ablationcam", "reciprocam") else {**given, "path": "batched-head"}


@pytest.mark.parametrize("closed", [True, False], ids=["closed-form", "head"])
@pytest.mark.parametrize("name", METHODS)
def test_a_method_does_not_wait_for_the_gpu(tiny: rb.Backbone, name: str, closed: bool) -> None:
    method = make_method(name, options(name, closed), name, tiny)
    fp = pretended(tiny)
    if name in WAITING and name not in UNSEEN:
        with pytest.raises(Waits), nothing_is_read():
            method(fp)
    else:
        with nothing_is_read():
            maps = method(fp)
        assert maps.device.type == GPU and len(maps) == 3


@pytest.mark.parametrize(
    "waits",
    [
        lambda fp: fp.features * fp.logits.max().item(),
        lambda fp: fp.features[fp.features > 0],
        lambda fp: fp.features if fp.logits.any() else fp.images,
        lambda fp: fp.features.cpu(),
        lambda fp: fp.features * torch.ones(1).to(fp.features.device),
        lambda fp: fp.logits[:, fp.classes[0]],
    ],
)
def test_a_method_that_waits_is_found(tiny: rb.Backbone, method, waits) -> None:
    name = method("test-waits", lambda fp: waits(fp))
    fp = pretended(tiny)
    with pytest.raises(Waits), nothing_is_read():
        make_method(name, {}, name, tiny)(fp)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("name", [name for name in METHODS if name not in WAITING])
def test_a_method_does_not_wait_for_a_real_gpu(tiny_net: nn.Module, images: Tensor, name: str) -> None:
    backbone = rb.split_backbone(tiny_net, images, device="cuda")
    method = make_method(name, options(name, closed=True), name, backbone)
    fp = forward_pass(backbone, images)
    method(fp)  # libraries set themselves up
    torch.cuda.set_sync_debug_mode("error")
    try:
        method(fp)
    finally:
        torch.cuda.set_sync_debug_mode("default")
