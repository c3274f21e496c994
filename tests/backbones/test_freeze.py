"""What is told before a network is split: unsound weights, logits that say nothing."""

import pytest
import timm
import torch
from torch import nn

import reciprocam_bench as rb


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("stem.0.weight", float("nan")),
        ("stem.1.bias", float("inf")),
        ("stem.1.running_var", float("nan")),
        ("stem.1.running_mean", -float("inf")),
        ("fc.weight", float("nan")),
    ],
)
@pytest.mark.parametrize("layer", ["auto", "stem.0", "image"])
def test_weights_that_are_not_finite_are_named(tiny_net, images, key, value, layer):
    tiny_net.state_dict()[key].view(-1)[-1] = value
    with pytest.raises(rb.UserError) as error:
        rb.split_backbone(tiny_net, images, layer, name="mine")
    assert str(error.value) == f"mine: the weights hold NaN or infinite values ('{key}' first); give sound weights"


def test_a_weights_file_that_is_not_finite_is_told_for_a_loaded_model(tmp_path):
    state = timm.create_model("test_resnet").state_dict()
    state["layer1.0.conv1.weight"][0, 0, 0, 0] = float("nan")
    torch.save(state, tmp_path / "broken.pth")
    with pytest.raises(
        rb.UserError, match=r"timm/test_resnet: the weights hold NaN .* \('layer1.0.conv1.weight' first"
    ):
        rb.load_backbone("timm/test_resnet", weights=str(tmp_path / "broken.pth"), image_size=64)


class Masked(nn.Module):
    """Adds a buffer to its maps; infinite values in it are no weights."""

    def __init__(self, net: nn.Module, value: float) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mask", torch.tensor([value]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(torch.maximum(x, self.mask))


def test_a_buffer_may_mask_with_infinity_but_logits_must_be_finite(tiny_net, images):
    backbone = rb.split_backbone(Masked(tiny_net, -float("inf")), images)
    torch.testing.assert_close(backbone(images), tiny_net(images).detach())
    with pytest.raises(rb.UserError, match="mine: the logits of the example are NaN or infinite; check example_input"):
        rb.split_backbone(Masked(tiny_net, float("inf")), images, name="mine")


def one_output() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1)).eval()


@pytest.mark.parametrize("layer", ["auto", "image"])
def test_one_output_needs_a_sigmoid(images, layer):
    with pytest.raises(rb.UserError, match="mine: the softmax of one output is always 1; set multi_label"):
        rb.split_backbone(one_output(), images, layer, name="mine")
    backbone = rb.split_backbone(one_output(), images, layer, multi_label=True)
    logits = backbone(images)
    torch.testing.assert_close(backbone.probabilities(logits), logits.sigmoid())


def test_maps_of_one_output_with_a_sigmoid_are_not_constant(images):
    backbone = rb.split_backbone(one_output(), images, multi_label=True)
    assert backbone.at("0").multi_label
    maps = rb.explain(backbone, images, classes=0, method="reciprocam")
    assert float(maps.flatten(1).std(1).min()) > 0
