"""FullGrad: completeness, the paper's proposition, and the saliency made of it."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.explainers.forward_pass import forward_pass
from reciprocam_bench.explainers.methods.fullgrad import biases, full_gradients, fullgrad


def randomised(net: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.running_mean.uniform_(-0.5, 0.5)
        norm.running_var.uniform_(0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.5, 0.5)
    return net.eval()


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("layer", ["auto", "layer2"])
def test_the_full_gradients_of_a_relu_network_sum_to_the_logit(fold, layer):
    """``f(x) = x df/dx + sum b df/db``: nothing of the logit is left out, and the in-place ReLUs hide nothing."""
    net = randomised(torchvision.models.resnet18(num_classes=7))
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    fp = forward_pass(rb.split_backbone(net, images, layer, fold=fold), images, torch.tensor([3, 0]))
    parts = full_gradients(fp)
    total = sum(part.sum((1, 2, 3)) for part in parts) + net.fc.bias[fp.classes]
    torch.testing.assert_close(total, fp.logits[[0, 1], fp.classes], rtol=1e-3, atol=1e-3)
    assert len(parts) == 1 + 20  # the image and 20 convolutions with their batch norms


class Branching(nn.Module):
    """Looks at its data, so that it is split by replacing a layer's output."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.second = nn.Sequential(nn.Conv2d(6, 8, 3, stride=2, padding=1), nn.ReLU())
        self.fc = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.second(self.first(x))
        if float(y.detach().sum()) > 1e9:
            y = y * 2
        return self.fc(y.mean((2, 3)))


@pytest.mark.parametrize("layer", ["first", "second"])
def test_they_sum_to_the_logit_of_a_network_that_cannot_be_traced(images, layer):
    """Its first part also runs on a black image, and its last part where nobody listens: neither is counted."""
    net = randomised(Branching())
    backbone = rb.split_backbone(net, images, layer)
    assert backbone.split == "replace"
    fp = forward_pass(backbone, images, torch.tensor([4, 0, 2]))
    total = sum(part.sum((1, 2, 3)) for part in full_gradients(fp)) + net.fc.bias[fp.classes]
    torch.testing.assert_close(total, fp.logits.gather(1, fp.classes[:, None])[:, 0], rtol=1e-4, atol=1e-5)


def test_biases_of_batch_norms_are_those_of_the_folded_convolutions(tiny_net, images):
    folded, plain = (biases(rb.split_backbone(tiny_net, images, fold=f)) for f in (True, False))
    conv, norm = tiny_net.stem[0], tiny_net.stem[1]
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    (together,) = folded.values()
    torch.testing.assert_close(together, (conv.bias - norm.running_mean) * scale + norm.bias)
    assert len(plain) == 2


@pytest.mark.parametrize("rescale", ["channel", "layer"])
def test_the_saliency_is_the_sum_of_rescaled_upsampled_parts(tiny, images, rescale):
    fp = forward_pass(tiny, images, torch.tensor([4, 0, 2]))
    expected = torch.zeros(3, 16, 16)
    for part in full_gradients(fp):
        for n, channels in enumerate(part.abs()):
            low, high = channels.min(), channels.max()
            for channel in channels:
                if rescale == "channel":
                    low, high = channel.min(), channel.max()
                unit = (channel - low) / (high - low) if high > low else torch.zeros_like(channel)
                expected[n] += F.interpolate(unit[None, None], size=(16, 16), mode="bilinear")[0, 0]
    torch.testing.assert_close(fullgrad(fp, rescale=rescale), expected, rtol=1e-4, atol=1e-4)


def test_a_network_without_biases_is_refused(images):
    net = nn.Sequential(nn.Conv2d(3, 6, 4, stride=4, bias=False), nn.Flatten(), nn.Linear(96, 5))
    with pytest.raises(rb.UserError, match="of 1 layers with a bias in custom only 0 are such"):
        rb.explain(rb.split_backbone(net, images), images, method="fullgrad")


def test_no_hook_is_left(tiny, images):
    rb.explain(tiny, images, method="fullgrad")
    modules = [*tiny.features.modules(), *tiny.head.modules()]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in modules)
