"""CAM on a 2x2 map that can be worked out by hand."""

import pytest
import torch
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.explainers.forward_pass import forward_pass
from reciprocam_bench.explainers.methods.cam import cam, cam_class_maps

# Red and green of two 2x2 pictures; the feature maps are these two channels.
PICTURES = torch.tensor(
    [
        [[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [0.0, -1.0]], [[9.0, 9.0], [9.0, 9.0]]],
        [[[0.0, 0.0], [5.0, 0.0]], [[1.0, 0.0], [0.0, 2.0]], [[9.0, 9.0], [9.0, 9.0]]],
    ]
)
WEIGHT = [[1.0, -2.0], [3.0, 1.0], [-1.0, 0.0]]


def red_green_net(head: nn.Module) -> nn.Module:
    conv = nn.Conv2d(3, 2, 1, bias=False)
    conv.weight.data = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])[:, :, None, None]
    return nn.Sequential(conv, *head)


@pytest.fixture
def backbone() -> rb.Backbone:
    linear = nn.Linear(2, 3)
    linear.weight.data, linear.bias.data = torch.tensor(WEIGHT), torch.tensor([0.5, 100.0, -7.0])
    return rb.split_backbone(red_green_net([nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear]), PICTURES)


def test_cam_weighs_the_maps_by_the_classes_weights_without_bias_or_relu(backbone):
    maps = cam(forward_pass(backbone, PICTURES, torch.tensor([0, 0])))
    torch.testing.assert_close(maps, torch.tensor([[[1.0, 0.0], [3.0, 6.0]], [[-2.0, 0.0], [5.0, -4.0]]]))


def test_cam_resolves_the_class_for_each_image(backbone):
    maps = cam(forward_pass(backbone, PICTURES, torch.tensor([1, 2])))
    torch.testing.assert_close(maps, torch.tensor([[[3.0, 7.0], [9.0, 11.0]], [[0.0, 0.0], [-5.0, 0.0]]]))


def test_the_maps_of_all_classes_are_the_maps_of_each(backbone):
    every = cam_class_maps(forward_pass(backbone, PICTURES))
    assert every.shape == (2, 3, 2, 2)
    for c in range(3):
        torch.testing.assert_close(every[:, c], cam(forward_pass(backbone, PICTURES, torch.tensor([c, c]))))


def test_cam_means_over_the_map_give_the_logits(tiny, images):
    fp = forward_pass(tiny, images)
    means = cam_class_maps(fp).mean((2, 3))
    torch.testing.assert_close(means + tiny.linear.bias, fp.logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("every", [False, True])
def test_cam_refuses_a_head_that_is_not_pooled_and_linear(every):
    head = [nn.Flatten(), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 3)]
    backbone = rb.split_backbone(red_green_net(head), PICTURES, name="mine")
    with pytest.raises(rb.UserError) as error:
        (cam_class_maps if every else cam)(forward_pass(backbone, PICTURES))
    assert str(error.value) == (
        "this method needs a head of global average pooling and one linear layer; mine split at '0' has another; "
        "leave the method out or choose another layer"
    )
