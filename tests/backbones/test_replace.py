"""Splitting by catching and replacing one layer's output."""

import pytest
import torch
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.backbones.layout import Halves
from reciprocam_bench.backbones.policy import NotACut
from reciprocam_bench.backbones.ways import split_by

IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def split_by_replacing(module: nn.Module, layer: str) -> Halves:
    return split_by("replace", module, IMAGES, layer)


@pytest.fixture
def residual() -> nn.Module:
    """conv -> block(x) + x -> act -> pool -> linear, with a layer inside the block that is no cut."""

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.block = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
            self.act, self.fc = nn.ReLU(), nn.Linear(4, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x)
            return self.fc(self.act(self.block(x) + x).mean((2, 3)))

    torch.manual_seed(0)
    return Residual().eval().requires_grad_(False)


def test_auto_takes_the_last_map_that_is_a_cut(residual):
    features, head, layer, _ = split_by_replacing(residual, "auto")
    assert layer == "act"
    x = residual.conv(IMAGES)
    torch.testing.assert_close(features(IMAGES), (residual.block(x) + x).relu())
    torch.testing.assert_close(head(features(IMAGES)), residual(IMAGES))


def test_auto_passes_over_a_later_map_that_is_no_cut(residual):
    del residual.act
    residual.act = torch.relu  # a function cannot be hooked: block is the last layer, conv the last cut
    assert split_by_replacing(residual, "auto")[2] == "conv"


def test_a_named_layer_that_is_no_cut_is_refused(residual):
    with pytest.raises(NotACut, match="layer 'block' is no cut: later layers also need outputs that do not pass"):
        split_by_replacing(residual, "block")


def test_a_layer_that_runs_twice_is_not_chosen():
    net = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1))
    net.extend([net[0], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5)])
    with pytest.raises(rb.UserError, match="no layer gives a spatial map that all later layers depend on alone"):
        split_by_replacing(net.eval(), "auto")


def test_the_head_takes_any_number_of_maps(residual):
    features, head, *_ = split_by_replacing(residual, "conv")
    maps = features(IMAGES)
    torch.testing.assert_close(head(torch.cat([maps, maps, maps])), residual(IMAGES).repeat(3, 1))


def test_no_hook_stays_behind_also_after_an_error(residual):
    features, head, *_ = split_by_replacing(residual, "act")
    features(IMAGES), head(features(IMAGES))
    with pytest.raises(RuntimeError):
        features(IMAGES[:, :2])
    with pytest.raises(RuntimeError):
        head(torch.zeros(2, 7, 8, 8))
    assert not any(m._forward_hooks for m in head.model.modules())


def test_gradients_reach_the_replaced_map(residual):
    features, head, *_ = split_by_replacing(residual, "act")
    maps = features(IMAGES).requires_grad_()
    head(maps)[:, 2].sum().backward()
    expected = (residual.fc.weight[2] / 64)[None, :, None, None].expand_as(maps)
    torch.testing.assert_close(maps.grad, expected)


def test_an_unknown_layer_is_answered_with_the_nearest_name(residual):
    with pytest.raises(rb.UserError, match=r"layer 'blok' is not in the network; did you mean 'block'\?"):
        split_by_replacing(residual, "blok")


def test_a_net_without_maps_is_refused():
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    with pytest.raises(rb.UserError, match="no layer gives a spatial map that all later layers depend on alone"):
        split_by_replacing(net, "auto")


class Tokens(nn.Module):
    """Convolution, block and head; ``early`` reads the batch size in front of the block and uses it behind."""

    def __init__(self, early: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.block, self.fc = nn.Conv2d(3, 4, 2, stride=2), nn.Conv2d(4, 4, 1), nn.Linear(4 * 16, 5)
        self.early, self.batches = early, []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(x))
        size = len(x)
        x = self.block(self.conv(x)).relu()
        return self.fc(x.reshape(size if self.early else len(x), -1))


@pytest.mark.parametrize("early", [False, True])
def test_one_black_image_stands_for_all_maps_unless_the_network_counts_its_images(early):
    net = Tokens(early).eval().requires_grad_(False)
    features, head, *_ = split_by_replacing(net, "block")
    maps = features(IMAGES)
    head.model.batches.clear()
    many = head(torch.cat([maps, maps, maps]))
    assert head.model.batches == ([6] if early else [1])
    torch.testing.assert_close(many, net(IMAGES).repeat(3, 1))


def test_a_black_example_does_not_make_a_cut_of_what_is_none(residual):
    with pytest.raises(rb.UserError, match=r"layer 'inner\.block' is no cut"):
        rb.split_backbone(_Untraceable(residual), torch.zeros(1, 3, 8, 8), layer="inner.block")
    backbone = rb.split_backbone(_Untraceable(residual), torch.zeros(1, 3, 8, 8))
    assert (backbone.layer, backbone.split) == ("inner.act", "replace")
    torch.testing.assert_close(backbone(IMAGES), residual(IMAGES))


class _Untraceable(nn.Module):
    """Python decides by values, which no graph can hold."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x) if float(x.sum()) > -1e9 else self.inner(-x)
