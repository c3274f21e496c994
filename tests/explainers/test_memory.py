"""Many calls leave nothing behind: no tensor, no hook, no changed flag, also where a method fails on the way."""

import gc
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import reciprocam_bench as rb
from reciprocam_bench.explainers.forward_pass import forward_pass
from reciprocam_bench.explainers.registry import EXPLAINERS, Method, make_method
from reciprocam_bench.peers.methods import PeerError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("only_what_is_new")]

CLASSES = torch.tensor([4, 0])
# Options that make a method cheap, or make it use the head where a closed form would do without.
CHEAP: dict[str, dict] = {
    "ablationcam": {"path": "batched-head"},
    "blackboxreciprocam": {"patch": 8, "stride": 8},
    "fasterscorecam": {"channels": 2},
    "fusedreciprocam": {"layers": ["stem"]},
    "iscam": {"samples": 1},
    "opticam": {"iterations": 2},
    "reciprocam": {"path": "batched-head"},
    "refinecam": {"layers": ["stem"]},
    "rise": {"samples": 2, "cells": 2},
    "smoothgradcam++": {"samples": 1},
    "sscam": {"samples": 1},
}
PEERS = ["torchcam:GradCAM", "torchcam:ScoreCAM", "gradcam:GradCAM", "gradcam:AblationCAM", "captum:DeepLift"]
METHODS = [name for name, spec in EXPLAINERS.all().items() if not spec.objects and name != "exported"]
METHODS += [name for name in PEERS if name in EXPLAINERS.available()]


class TinyTransformer(nn.Module):
    """A convolution, and a block of tokens with a LayerNorm in front of it, to 5 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, stride=4)
        self.norm = nn.LayerNorm(8)
        self.mlp = nn.Linear(8, 8)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.stem(x)
        tokens = maps.flatten(2).transpose(1, 2)
        tokens = tokens + self.mlp(self.norm(tokens)).relu()
        return self.fc(tokens.mean(1))


def make(name: str, tiny: rb.Backbone) -> tuple[Method, rb.Backbone]:
    """The method, and a network that it can explain."""
    if name == "vitreciprocam":
        torch.manual_seed(0)
        tiny = rb.split_backbone(TinyTransformer(), torch.randn(2, 3, 16, 16), "stem")
    return make_method(name, CHEAP.get(name, {}), name, tiny), tiny


def live_tensors() -> int:
    gc.collect()
    return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())


def state(backbone: rb.Backbone) -> list[tuple]:
    """Modes, hooks and flags of every module and weight."""
    found: list[tuple] = []
    for half in (backbone.features, backbone.head):
        for name, m in half.named_modules():
            hooks = (m._forward_hooks, m._forward_pre_hooks, m._backward_hooks, m._backward_pre_hooks)
            found.append((name, id(m), m.training, *map(len, hooks)))
        found += [(name, id(p), p.requires_grad, p.grad is None) for name, p in half.named_parameters()]
    return found


@pytest.mark.parametrize("name", METHODS)
def test_two_hundred_calls_leave_no_tensor_and_no_hook(tiny, images, name):
    method, backbone = make(name, tiny)
    fp = forward_pass(backbone, images[:2], CLASSES)
    method(fp)
    before, tensors = state(backbone), live_tensors()
    for _ in range(200):
        method(fp)
    assert live_tensors() <= tensors
    assert state(backbone) == before


def failing(call: int, forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A layer's forward that fails when it is called for the given time."""
    calls = iter(range(call))

    def fails(self: nn.Module, x: Tensor) -> Tensor:
        if next(calls, None) is None:
            raise ArithmeticError("the layer failed")
        return forward(self, x)

    return fails


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("call", [0, 1])
def test_a_failure_on_the_way_changes_nothing(tiny, images, name, call, monkeypatch):
    method, backbone = make(name, tiny)
    fp = forward_pass(backbone, images[:2], CLASSES)
    good = method(fp)
    before, tensors = state(backbone), live_tensors()
    # Often: what one failure leaves could hide behind a copy of the network that is thrown away after it.
    for _ in range(20):
        with monkeypatch.context() as patch:
            patch.setattr(nn.Linear, "forward", failing(call, nn.Linear.forward))
            try:
                method(fp)
            except (ArithmeticError, PeerError) as error:
                assert "the layer failed" in str(error)
    assert state(backbone) == before
    assert not torch.is_inference_mode_enabled() and torch.is_grad_enabled()
    torch.testing.assert_close(method(fp), good)
    assert live_tensors() <= tensors


def test_most_methods_ask_the_head(tiny, images, monkeypatch):
    """Else the test above would test nothing."""
    failed = set()
    for name in METHODS:
        method, backbone = make(name, tiny)
        fp = forward_pass(backbone, images[:2], CLASSES)
        with monkeypatch.context() as patch:
            patch.setattr(nn.Linear, "forward", failing(0, nn.Linear.forward))
            try:
                method(fp)
            except (ArithmeticError, PeerError):
                failed.add(name)
    controls = {name for name, spec in EXPLAINERS.all().items() if spec.control and not spec.objects}
    assert set(METHODS) - failed == controls | {"cam", "eigencam", "fusedreciprocam"}


def resident() -> int:
    """Bytes this process holds in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


_GROWTH = {"gradcam", "scorecam", "reciprocam", "torchcam:GradCAM", "gradcam:GradCAM"}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", [n for n in METHODS if n in _GROWTH])
def test_the_process_does_not_grow(tiny, name):
    method = make_method(name, {}, name, tiny)
    fp = forward_pass(tiny, torch.randn(4, 3, 128, 128), torch.tensor([4, 0, 2, 1]))
    for _ in range(20):
        method(fp)
    before = resident()
    for _ in range(150):
        method(fp)
    # One copy of the images kept a call would be 112 MiB.
    assert resident() - before < 24 << 20
