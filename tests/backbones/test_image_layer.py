"""``layer: image``: models that can only be called."""

import threading
import warnings

import pytest
import torch
from torch import nn

import reciprocam_bench as rb

IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def brightness(images: torch.Tensor) -> torch.Tensor:
    return torch.stack([images.mean((1, 2, 3)), images[:, 0, :8].mean((1, 2))], 1)


def test_a_plain_function_is_called_with_the_image_itself():
    backbone = rb.split_backbone(brightness, IMAGES, layer="image", name="mine")
    assert (backbone.split, backbone.layer, backbone.feature_shape) == ("call", "image", (3, 16, 16))
    assert (backbone.linear, backbone.num_classes, backbone.split_error) == (None, 2, 0.0)
    torch.testing.assert_close(backbone.features(IMAGES), IMAGES, rtol=0, atol=0)
    torch.testing.assert_close(backbone(IMAGES), brightness(IMAGES), rtol=0, atol=0)
    leaf = backbone.features(IMAGES).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(backbone.head(leaf)[:, 0].sum(), leaf)
    torch.testing.assert_close(gradient, torch.full_like(leaf, 1 / (3 * 16 * 16)))


def test_a_function_that_is_to_be_split_says_how_it_can_be_explained():
    with pytest.raises(rb.UserError, match="a plain function cannot be split at 'auto'; set layer='image'"):
        rb.split_backbone(brightness, IMAGES)
    with pytest.raises(rb.UserError, match="a str is no model"):
        rb.split_backbone("resnet18", IMAGES, layer="image")


def test_the_image_is_a_layer_of_every_module(tiny_net):
    tiny_net.train()
    backbone = rb.split_backbone(tiny_net, IMAGES, layer="image")
    assert (backbone.split, backbone.linear) == ("call", None)
    torch.testing.assert_close(backbone(IMAGES), tiny_net.eval()(IMAGES).detach())
    assert not any(p.requires_grad for p in backbone.head.parameters())
    with pytest.raises(rb.UserError, match="this network can be cut at 'image' only"):
        backbone.at("stem")


@pytest.mark.parametrize("make", ["trace", "script"])
def test_torchscript_can_be_called_and_its_refusal_names_the_way(tiny_net, make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = torch.jit.trace(tiny_net, IMAGES) if make == "trace" else torch.jit.script(tiny_net)
        backbone = rb.split_backbone(compiled, IMAGES, layer="image")
        torch.testing.assert_close(backbone(IMAGES[:1]), tiny_net(IMAGES[:1]).detach())
        with pytest.raises(rb.UserError, match="with layer: image"):
            rb.split_backbone(compiled, IMAGES)


class Locked(nn.Module):
    """Cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock, self.fc = threading.Lock(), nn.Linear(3, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(images.mean((2, 3)))


def test_a_module_that_cannot_be_copied_is_called_as_it_is():
    net = Locked()
    with pytest.raises(
        rb.UserError, match=r"the module cannot be copied \(TypeError: .*lock.*\); explain it from outs"
    ):
        rb.split_backbone(net, IMAGES)
    with pytest.raises(rb.UserError, match="a module that cannot be copied is called as it is; call"):
        rb.split_backbone(net, IMAGES, layer="image")
    backbone = rb.split_backbone(net.eval(), IMAGES, layer="image")
    torch.testing.assert_close(backbone(IMAGES), net(IMAGES))
    assert all(p.requires_grad for p in net.parameters())
    assert not net.fc._forward_hooks


@pytest.mark.parametrize("method", ["layercam", "gradcam", "scorecam"])
def test_methods_run_on_the_image(method):
    backbone = rb.split_backbone(brightness, IMAGES, layer="image")
    maps = rb.explain(backbone, IMAGES, method=method)
    assert maps.shape == (2, 16, 16)
    assert maps.isfinite().all()
