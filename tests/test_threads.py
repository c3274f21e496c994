"""Two threads explain with one backbone at a time, and a caller's modes change nothing."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.explainers.registry import EXPLAINERS

pytestmark = pytest.mark.slow

SPECS = EXPLAINERS.all()
METHODS = [n for n, s in SPECS.items() if not s.objects and n not in ("vitreciprocam", "exported")]
MODES = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "inference_mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "enable_grad": torch.enable_grad,
}


class Branching(nn.Module):
    """No graph can be traced of it, so it is looked at by hooks."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x) if x.sum() > -1e9 else self.inner(-x)


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """The interpreter goes from thread to thread as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(params=["traced", "replaced"])
def backbone(request: pytest.FixtureRequest, tiny_net: nn.Module) -> rb.Backbone:
    if request.param == "traced":
        return rb.split_backbone(tiny_net, torch.randn(2, 3, 16, 16), device="cpu")
    return rb.split_backbone(Branching(tiny_net), torch.randn(2, 3, 16, 16), "inner.stem", device="cpu")


def explain(backbone: rb.Backbone, images: torch.Tensor, name: str) -> torch.Tensor:
    options = {"samples": 3} if name in ("rise", "iscam", "sscam") else {}
    options |= {"patch": 6, "stride": 4} if name == "blackboxreciprocam" else {}
    return rb.explain(backbone, images, [0, 3, 1], name, **options)


@pytest.mark.parametrize("name", METHODS)
def test_two_threads_get_the_maps_that_one_gets(backbone, images, name, quick_switches):
    inputs = [images, images.flip(3) * 0.7]
    alone = [explain(backbone, one, name) for one in inputs]
    together = Barrier(2)

    def many(one: torch.Tensor) -> list[torch.Tensor]:
        together.wait()
        return [explain(backbone, one, name) for _ in range(5)]

    with ThreadPoolExecutor(2) as pool:
        for expected, found in zip(alone, pool.map(many, inputs), strict=True):
            for maps in found:
                assert torch.equal(maps, expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["cam", "gradcam", "reciprocam", "scorecam", "layercam", "eigencam"])
def test_a_callers_mode_changes_no_map_and_no_value(tiny, images, name, mode):
    expected = rb.explain(tiny, images, [0, 3, 1], name)
    values = rb.evaluate(tiny, images, expected, [0, 3, 1], method=name)
    with MODES[mode]():
        maps = rb.explain(tiny, images, [0, 3, 1], name)
        again = rb.evaluate(tiny, images, expected, [0, 3, 1], method=name)
    assert maps.dtype == torch.float32 and torch.equal(maps, expected)
    assert all(torch.equal(torch.as_tensor(again[k]), torch.as_tensor(values[k])) for k in values)


def test_the_modes_are_the_callers_again_afterwards(tiny, images):
    with torch.autocast("cpu", torch.bfloat16):
        rb.explain(tiny, images, method="gradcam")
        assert torch.is_autocast_enabled("cpu")
