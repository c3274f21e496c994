"""Grad-CAM against automatic differentiation of the whole, uncut network."""

import pytest
import torch
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.explainers.forward_pass import forward_pass
from reciprocam_bench.explainers.methods.cam import cam
from reciprocam_bench.explainers.methods.gradcam import gradcam


def whole_network_gradcam(net: nn.Module, layer: nn.Module, images: torch.Tensor, classes: list[int]) -> torch.Tensor:
    """The textbook: hook the layer, run the whole network, differentiate, average, weigh, ReLU; image by image."""
    caught = []
    hook = layer.register_forward_hook(lambda module, inputs, output: caught.append(output))
    maps = []
    for image, c in zip(images, classes, strict=True):
        score = net(image[None])[0, c]
        (gradient,) = torch.autograd.grad(score, caught[-1])
        features = caught[-1].detach()[0]
        maps.append(sum(g.mean() * a for g, a in zip(gradient[0], features, strict=True)).clamp(min=0))
    hook.remove()
    return torch.stack(maps)


@pytest.fixture
def deep() -> nn.Module:
    """A net whose head is not linear: pooling by maximum, a norm, two linear layers."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(72, 10), nn.LayerNorm(10), nn.ReLU(), nn.Linear(10, 5),
    ).eval()  # fmt: skip


def test_gradcam_by_hand():
    """Maps [[1,2],[3,4]] and [[0,1],[0,-1]], weights 1 and -2: a quarter of [[1,0],[3,6]]; and minus the first map."""
    net = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    net[0].weight.data = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])[:, :, None, None]
    net[3].weight.data = torch.tensor([[1.0, -2.0], [-1.0, 0.0]])
    image = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [0.0, -1.0]], [[9.0, 9.0], [9.0, 9.0]]]])
    pair = image.repeat(2, 1, 1, 1)
    maps = gradcam(forward_pass(rb.split_backbone(net, image), pair, torch.tensor([0, 1])))
    torch.testing.assert_close(maps, torch.tensor([[[0.25, 0.0], [0.75, 1.5]], [[0.0, 0.0], [0.0, 0.0]]]))


@pytest.mark.parametrize("layer", ["0", "1", "2"])
def test_gradcam_is_that_of_the_whole_network(deep, images, layer):
    classes = [4, 0, 2]
    maps = gradcam(forward_pass(rb.split_backbone(deep, images, layer), images, torch.tensor(classes)))
    expected = whole_network_gradcam(deep, deep.get_submodule(layer), images, classes)
    assert (expected > 0).any() and (expected == 0).any()
    torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-6)


def test_gradcam_explains_the_logit_not_the_probability(tiny, tiny_net, images):
    with torch.no_grad():
        tiny_net.fc.bias[1] += 50  # saturates the softmax, whose gradient vanishes
    backbone = rb.split_backbone(tiny_net, images)
    classes = torch.tensor([1, 1, 1])
    before, after = (gradcam(forward_pass(b, images, classes)) for b in (tiny, backbone))
    assert before.max() > 0
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-6)


def test_on_a_pooled_linear_head_gradcam_is_cam_over_the_number_of_positions(tiny, images):
    fp = forward_pass(tiny, images)
    assert cam(fp).max() > 0
    torch.testing.assert_close(gradcam(fp) * 16, cam(fp).relu(), rtol=1e-4, atol=1e-6)


def test_gradcam_works_before_a_layer_that_overwrites_its_input(images):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=4), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)
    )
    plain = nn.Sequential(net[0], nn.ReLU(), *net[2:])
    maps = rb.explain(rb.split_backbone(net, images, "0"), images, [0, 1, 2], method="gradcam")
    torch.testing.assert_close(maps, whole_network_gradcam(plain, plain[0], images, [0, 1, 2]))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inference_mode"])
def test_gradcam_works_where_the_caller_has_switched_gradients_off(tiny, images, mode):
    expected = rb.explain(tiny, images, [0, 1, 2], method="gradcam")
    with mode():
        maps = rb.explain(tiny, images, [0, 1, 2], method="gradcam")
    torch.testing.assert_close(maps.clone(), expected)


def test_gradcam_works_on_a_backbone_split_in_inference_mode(tiny, tiny_net, images):
    with torch.inference_mode():
        backbone = rb.split_backbone(tiny_net, images)
    expected = rb.explain(tiny, images, [0, 1, 2], method="gradcam")
    torch.testing.assert_close(rb.explain(backbone, images, [0, 1, 2], method="gradcam"), expected)


def test_gradcam_leaves_no_gradients_behind(tiny, images):
    fp = forward_pass(tiny, images)
    gradcam(fp)
    assert all(p.grad is None for p in [*tiny.features.parameters(), *tiny.head.parameters()])
    assert not fp.features.requires_grad
