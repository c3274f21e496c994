"""A pooled linear head is recognised by what it computes."""

import pytest
import torch
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.backbones.recognised_head import find_linear_head

SHAPE, CLASSES = (6, 3, 4), 5


def pooled(*layers: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *layers).eval()


def find(head: nn.Module):
    return find_linear_head(head.requires_grad_(False), SHAPE, CLASSES, torch.device("cpu"))


def test_the_weights_of_a_pooled_linear_head_are_found():
    head = pooled(nn.Dropout(0.5), nn.Linear(6, 5))
    linear = find(head)
    torch.testing.assert_close(linear.weight, head[-1].weight, rtol=0, atol=0)
    torch.testing.assert_close(linear.bias, head[-1].bias, rtol=0, atol=0)


def test_a_head_without_a_bias_has_a_bias_of_zero():
    linear = find(pooled(nn.Linear(6, 5, bias=False)))
    torch.testing.assert_close(linear.bias, torch.zeros(5), rtol=0, atol=0)


@pytest.mark.parametrize("pool_first", [True, False])
def test_a_1x1_convolution_is_a_linear_layer_on_either_side_of_the_pool(pool_first):
    torch.manual_seed(0)
    conv, pool = nn.Conv2d(6, 5, 1), nn.AdaptiveAvgPool2d(1)
    linear = find(nn.Sequential(*((pool, conv) if pool_first else (conv, pool)), nn.Flatten()))
    torch.testing.assert_close(linear.weight, conv.weight[:, :, 0, 0], rtol=0, atol=0)
    torch.testing.assert_close(linear.bias, conv.bias, rtol=0, atol=0)


class Decoy(nn.Module):
    """Holds a linear layer of the right size that is not the one in use."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.unused, self.used = nn.Linear(6, 5), nn.Linear(6, 5)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return self.used(maps.mean((2, 3)))


def test_the_layer_in_use_is_taken_not_the_first_of_its_size():
    head = Decoy()
    torch.testing.assert_close(find(head).weight, head.used.weight, rtol=0, atol=0)


LINEAR = nn.Linear(6, 5)
NOT_LINEAR = {
    "relu-before-pool": nn.Sequential(nn.ReLU(), *pooled(LINEAR)),
    "relu-after-pool": pooled(nn.ReLU(), LINEAR),
    "relu-on-logits": pooled(LINEAR, nn.ReLU()),
    "layer-norm": pooled(nn.LayerNorm(6), LINEAR),
    "max-pool": nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), LINEAR),
    "sum-pool": nn.Sequential(nn.LPPool2d(1, (3, 4)), nn.Flatten(), LINEAR),
    "mlp-as-in-vgg": nn.Sequential(nn.Flatten(), nn.Linear(72, 6), nn.ReLU(), nn.Linear(6, 5)),
    "linear-without-pool": nn.Sequential(nn.Flatten(), nn.Linear(72, 5)),
    "two-linear-layers": pooled(nn.Linear(6, 6), LINEAR),
    "softmax": pooled(LINEAR, nn.Softmax(1)),
    "scaled": pooled(LINEAR, nn.BatchNorm1d(5, eps=1.0)),
}


@pytest.mark.parametrize("kind", NOT_LINEAR)
def test_other_heads_are_not_taken_for_linear_ones(kind):
    assert find(NOT_LINEAR[kind].eval()) is None


def test_a_window_of_fixed_size_is_pooled_linear_at_that_size_alone():
    torch.manual_seed(0)
    head = nn.Sequential(nn.AvgPool2d((3, 4)), nn.Flatten(), nn.Linear(6, 5))
    assert find(head).size == (3, 4) and find(pooled(nn.Linear(6, 5))).size is None
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(8, 3)
    )
    backbone = rb.split_backbone(net, torch.randn(2, 3, 16, 16), layer="1")
    assert backbone.linear is not None and backbone.linear.size == (4, 4)
    for side in (16, 28):  # of 28 pixels the head leaves a border of the map out
        images = torch.randn(2, 3, side, side)
        maps = [rb.explain(backbone, images, [0, 1], "reciprocam", path=path) for path in ("auto", "reference")]
        torch.testing.assert_close(*maps)
    assert rb.explain(backbone, torch.randn(2, 3, 28, 28), method="cam").shape == (2, 7, 7)
    with pytest.raises(
        rb.UserError, match=r"pools maps of \(4, 4\) as a whole and no others, so there is no closed form"
    ):
        rb.explain(backbone, torch.randn(2, 3, 28, 28), path="closed-form")
