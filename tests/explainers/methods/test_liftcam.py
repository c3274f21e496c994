"""LIFT-CAM: DeepLIFT's summation to delta, closed forms, and captum's DeepLIFT."""

import pytest
import torch
import torchvision
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.explainers.forward_pass import forward_pass
from reciprocam_bench.explainers.methods.liftcam import contributions, liftcam

CLASSES = torch.tensor([4, 0, 2])


def head(activation: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 6, 4, stride=4), nn.ReLU()),
        nn.Conv2d(6, 6, 3, padding=1), activation, nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(24, 9), activation, nn.Linear(9, 5),
    ).eval()  # fmt: skip


@pytest.mark.parametrize(
    "activation",
    [nn.ReLU(inplace=True), nn.Tanh(), nn.Sigmoid(), nn.GELU(), nn.SiLU(), nn.ReLU6(), nn.LeakyReLU(0.2), nn.ELU(),
     nn.Hardswish(), nn.Hardsigmoid(), nn.Mish(), nn.Softplus(), nn.Hardtanh(-0.3, 0.3)],
    ids=lambda activation: type(activation).__name__,
)  # fmt: skip
def test_contributions_sum_to_the_difference_from_the_baseline(images, activation):
    """``sum C = f(A) - f(0)``: what tells DeepLIFT from gradient times input."""
    net = head(activation)
    fp = forward_pass(rb.split_backbone(net, images, "0"), 5 * images, CLASSES)
    baseline = fp.head(torch.zeros_like(fp.features))
    difference = (fp.logits - baseline).gather(1, CLASSES[:, None])[:, 0]
    torch.testing.assert_close(contributions(fp).sum((1, 2, 3)), difference, rtol=1e-3, atol=1e-4)


def test_residual_blocks_sum_too():
    """Functional and shared in-place ReLUs, batch norms and additions, as torchvision's ResNet has them."""
    torch.manual_seed(0)
    net = torchvision.models.resnet18(num_classes=5).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    fp = forward_pass(rb.split_backbone(net, images, "layer2"), images, torch.tensor([3, 0]))
    difference = (fp.logits - fp.head(torch.zeros_like(fp.features)))[[0, 1], fp.classes]
    torch.testing.assert_close(contributions(fp).sum((1, 2, 3)), difference, rtol=1e-3, atol=1e-3)


def test_behind_a_pooled_linear_head_the_weights_are_in_closed_form(tiny, images):
    fp = forward_pass(tiny, images, CLASSES)
    weights = tiny.linear.weight[CLASSES] * fp.features.mean((2, 3))
    expected = torch.einsum("nchw,nc->nhw", fp.features, weights).relu()
    torch.testing.assert_close(liftcam(fp), expected, rtol=1e-4, atol=1e-6)


def test_it_is_captums_deep_lift(images):
    """captum's rescale rule by module hooks on the uncut network, against a layer baseline of 0."""
    attr = pytest.importorskip("captum.attr")
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 6, 4, stride=4), nn.Identity()),
        nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(96, 9), nn.ReLU(), nn.Linear(9, 5),
    ).eval()  # fmt: skip
    net[0][0].bias.data.zero_()  # a black image gives features of 0
    fp = forward_pass(rb.split_backbone(net, images, "0"), 5 * images, CLASSES)
    theirs = attr.LayerDeepLift(net, net[0]).attribute(5 * images, torch.zeros_like(images), target=CLASSES)
    torch.testing.assert_close(contributions(fp), theirs.detach(), rtol=1e-3, atol=1e-5)
