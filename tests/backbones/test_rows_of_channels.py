"""Maps whose rows are channels, works in place, and norms that do more: what a cut must not take for something else."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import reciprocam_bench as rb

POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "flatten mean": lambda x: x.flatten(2).mean(2),
    "view mean": lambda x: x.view(len(x), x.shape[1], -1).mean(2),
    "reshape max": lambda x: x.reshape(len(x), x.shape[1], -1).amax(2),
    "torch.flatten": lambda x: torch.flatten(x, 2).relu().mean(-1),
    "pool": lambda x: F.adaptive_avg_pool1d(x.flatten(2), 1).flatten(1),
    "turned": lambda x: F.adaptive_avg_pool1d(x.flatten(2).transpose(1, 2).transpose(1, 2), 1).flatten(1),
}


class Rows(nn.Module):
    """A network that pools its last map ``(N, C, 8, 8)`` row by row."""

    def __init__(self, channels: int, pool: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, 4, 1), nn.Conv2d(8, channels, 3, 2, 1)
        self.fc, self.pool = nn.Linear(channels, 4), pool

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(self.b(self.a(x).relu()).relu()))


@pytest.mark.parametrize("channels", [25, 64, 71])  # a square, the map's own number of positions, a square and tokens
@pytest.mark.parametrize("pool", POOLS)
def test_rows_of_channels_are_no_grid_of_positions(channels: int, pool: str) -> None:
    torch.manual_seed(0)
    net, images = Rows(channels, POOLS[pool]).eval(), torch.randn(2, 3, 64, 64)
    backbone = rb.split_backbone(net, images)
    assert backbone.feature_shape == (channels, 8, 8) and not backbone.prefix_tokens
    assert torch.allclose(backbone(images), net(images), atol=1e-5)
    # The same network with its channels in another order has the same maps.
    maps = rb.explain(backbone, images, method="gradcam")
    order = torch.randperm(channels)
    with torch.no_grad():
        for weight in (net.b.weight, net.b.bias):
            weight.copy_(weight[order].clone())
        net.fc.weight.copy_(net.fc.weight[:, order].clone())
    again = rb.explain(rb.split_backbone(net, images), images, method="gradcam")
    assert torch.allclose(maps, again, atol=1e-6) and maps.abs().max() > 0


def test_a_module_that_flattens_a_map_is_no_grid_either() -> None:
    class Closed(Rows):
        """It looks at its values, which no trace can."""

        def __init__(self) -> None:
            super().__init__(64, lambda x: x)
            self.flat, self.squeeze = nn.Flatten(2), nn.AdaptiveAvgPool1d(1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.b(self.a(x).relu())
            x = x if x.sum() > -1e9 else -x
            return self.fc(self.squeeze(self.flat(x)).flatten(1))

    torch.manual_seed(0)
    net, images = Closed().eval(), torch.randn(2, 3, 64, 64)
    backbone = rb.split_backbone(net, images)
    assert backbone.split == "replace" and backbone.layer == "b" and backbone.feature_shape == (64, 8, 8)


def test_tokens_are_still_tokens_behind_and_in_front_of_such_rows() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patch, self.norm, self.fc = nn.Conv2d(3, 16, 8, 8), nn.LayerNorm(16), nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.norm(self.patch(x).flatten(2).transpose(1, 2))
            return self.fc(x.permute(0, 2, 1).mean(2))

    torch.manual_seed(0)
    net, images = Tokens().eval(), torch.randn(2, 3, 64, 64)
    backbone = rb.split_backbone(net, images)
    assert (backbone.layer, backbone.feature_shape, backbone.prefix_tokens) == ("norm", (16, 8, 8), 0)


IN_PLACE: dict[str, Callable[[nn.Module, Tensor], object]] = {
    "method": lambda net, x: x.clamp_(-6, 6),
    "function": lambda net, x: F.hardtanh(x, -6, 6, inplace=True),
    "underscore": lambda net, x: torch.clamp_(x, -6, 6),
    "module": lambda net, x: net.tanh(x),
}


@pytest.mark.parametrize("way", IN_PLACE)
def test_a_statement_that_works_in_place_is_not_lost(way: str) -> None:
    class Bounded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.c, self.c2 = nn.Conv2d(3, 8, 3, 4, 1), nn.Conv2d(8, 8, 3, 1, 1)
            self.tanh, self.pool, self.fc = nn.Hardtanh(-6, 6, inplace=True), nn.AdaptiveAvgPool2d(1), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.c(x)
            IN_PLACE[way](self, x)
            return self.fc(self.pool(self.c2(x).relu()).flatten(1))

    torch.manual_seed(0)
    net, images = Bounded().eval(), torch.randn(2, 3, 32, 32)
    backbone = rb.split_backbone(net, images)
    bright = 30 * images  # the example shows nothing that is out of bounds
    assert torch.allclose(backbone(backbone.prepare(bright)), net(bright), atol=1e-4)


def test_a_norm_that_does_more_is_not_folded() -> None:
    class Activated(nn.BatchNorm2d):
        def forward(self, x: Tensor) -> Tensor:
            return F.leaky_relu(super().forward(x), 0.1)

    torch.manual_seed(0)
    body = [nn.Conv2d(3, 8, 3, 2, 1), Activated(8), nn.Conv2d(8, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU()]
    net = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)).eval()
    images = torch.randn(2, 3, 32, 32)
    backbone = rb.split_backbone(net, images)
    assert backbone.folded_batch_norms == 1 and torch.allclose(backbone(images), net(images), atol=1e-5)
