"""Batch norms are folded into convolutions exactly where that changes nothing."""

import copy

import pytest
import timm.layers
import torch
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.backbones.fold import fold_batch_norms
from reciprocam_bench.backbones.trace import trace

IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def disturbed(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """Statistics and weights under which no fold is trivially right."""
    generator = torch.Generator().manual_seed(1)
    if norm.running_mean is not None:
        norm.running_mean.uniform_(-1, 1, generator=generator)
        norm.running_var.uniform_(0.2, 3, generator=generator)
    if norm.affine:
        nn.init.uniform_(norm.weight, -2, 2, generator=generator)
        nn.init.uniform_(norm.bias, -1, 1, generator=generator)
    return norm


class Pair(nn.Module):
    """A convolution and a batch norm, put together by ``forward``."""

    def __init__(self, conv: nn.Module | None = None, norm: nn.Module | None = None, forward=None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = conv or nn.Conv2d(3, 4, 3, padding=1)
        self.norm = disturbed(norm or nn.BatchNorm2d(4))
        self._forward = forward or (lambda self, x: self.norm(self.conv(x)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._forward(self, x)


def folded(module: nn.Module) -> tuple[int, float]:
    """How many batch norms were folded, and the largest change of the output relative to its size."""
    module = module.eval().requires_grad_(False)
    expected = module(IMAGES)
    traced = trace(copy.deepcopy(module), IMAGES).module
    count = fold_batch_norms(traced)
    return count, float((traced(IMAGES) - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize(
    "module",
    [
        Pair(),
        Pair(nn.Conv2d(3, 4, 3, bias=False)),
        Pair(nn.Conv2d(3, 6, 3, groups=3, stride=2), nn.BatchNorm2d(6)),
        Pair(norm=nn.BatchNorm2d(4, affine=False)),
        Pair(norm=nn.BatchNorm2d(4, eps=0.5)),
        Pair(timm.layers.Conv2dSame(3, 4, 3, stride=2)),
        Pair(forward=lambda self, x: self.norm(self.conv(x)) + x.mean()),
    ],
    ids=["plain", "no-bias", "grouped", "no-affine", "eps", "same-padding", "used-later"],
)
def test_a_batch_norm_behind_a_convolution_is_folded_without_a_trace(module):
    count, change = folded(module)
    assert count == 1
    assert change < 1e-5


def test_every_batch_norm_of_a_chain_is_folded():
    layers = [nn.Conv2d(3, 4, 3), disturbed(nn.BatchNorm2d(4)), nn.ReLU(), nn.Conv2d(4, 5, 3)]
    count, change = folded(nn.Sequential(*layers, disturbed(nn.BatchNorm2d(5))))
    assert count == 2
    assert change < 1e-5


def hooked(where: str, register: str) -> Pair:
    pair = Pair()
    if register == "register_forward_hook":
        pair.get_submodule(where).register_forward_hook(lambda module, inputs, output: output * 2)
    else:
        pair.get_submodule(where).register_forward_pre_hook(lambda module, inputs: (inputs[0] * 2,))
    return pair


def twice(self: Pair, x: torch.Tensor) -> torch.Tensor:
    return self.norm(self.conv(x)) + self.conv(x + 1)


def norm_twice(self: Pair, x: torch.Tensor) -> torch.Tensor:
    return self.norm(self.conv(x)) + self.norm(x[:, [0, 1, 2, 0]])


def output_twice(self: Pair, x: torch.Tensor) -> torch.Tensor:
    y = self.conv(x)
    return self.norm(y) + y


@pytest.mark.parametrize(
    "module",
    [
        Pair(forward=output_twice),
        Pair(forward=twice),
        Pair(forward=norm_twice),
        Pair(forward=lambda self, x: self.norm(self.conv(x).relu())),
        Pair(norm=nn.BatchNorm2d(4, track_running_stats=False)),
        Pair(timm.layers.StdConv2d(3, 4, 3)),
        Pair(timm.layers.StdConv2dSame(3, 4, 3)),
        Pair(timm.layers.ScaledStdConv2dSame(3, 4, 3)),
        Pair(nn.ConvTranspose2d(3, 4, 3)),
        hooked("conv", "register_forward_hook"),
        hooked("norm", "register_forward_hook"),
    ],
    ids=[
        "convolution-output-used-twice", "convolution-called-twice", "norm-called-twice", "relu-between",
        "batch-statistics", "standardised", "standardised-leaf", "scaled-standardised-leaf", "transposed",
        "hook-on-convolution", "hook-on-norm",
    ],
)  # fmt: skip
def test_nothing_is_folded_where_it_would_change_the_function(module):
    count, change = folded(module)
    assert count == 0
    assert change == 0


def test_a_hook_that_changes_the_norms_input_keeps_its_effect():
    _, change = folded(hooked("norm", "register_forward_pre_hook"))
    assert change < 1e-5


@pytest.mark.parametrize("activation", [nn.ReLU6, nn.SiLU, nn.Identity])
def test_timms_batch_norm_keeps_its_activation(activation):
    norm = timm.layers.BatchNormAct2d(4, act_layer=activation)
    count, change = folded(Pair(norm=norm))
    assert count == 1
    assert change < 1e-5


@pytest.mark.parametrize("fold", [True, False])
def test_a_backbone_counts_what_was_folded(tiny_net, images, fold):
    backbone = rb.split_backbone(tiny_net, images, fold=fold)
    norms = [m for m in backbone.features.modules() if isinstance(m, nn.BatchNorm2d)]
    assert (backbone.folded_batch_norms, len(norms)) == ((1, 0) if fold else (0, 1))


def test_folded_and_unfolded_backbones_agree(tiny_net, images):
    with_norms, without = (rb.split_backbone(tiny_net, images, fold=fold) for fold in (False, True))
    torch.testing.assert_close(without.features(images), with_norms.features(images), rtol=0, atol=1e-5)
    torch.testing.assert_close(without(images), with_norms(images), rtol=0, atol=1e-5)
