"""A split network can be cut elsewhere, with the same weights."""

import pytest
import timm
import torch
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.backbones.fitted_head import with_linear_head

pytestmark = pytest.mark.slow

SIDE = 96
IMAGES = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


class Untraceable(nn.Module):
    """A network that looks at its data in its own ``forward``."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = timm.create_model("test_resnet", num_classes=10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x if x.sum() < 1e9 else x / 2)


@pytest.fixture(scope="module", params=["graph", "replace"])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def net(kind):
    torch.manual_seed(0)
    return (timm.create_model("test_resnet", num_classes=10) if kind == "graph" else Untraceable()).eval()


@pytest.fixture(scope="module")
def backbone(net, kind):
    found = rb.split_backbone(net, IMAGES, name="mine")
    assert found.split == kind
    return found


def name(kind: str, layer: str) -> str:
    return layer if kind == "graph" else f"net.{layer}"


def test_stages_are_the_last_cut_of_every_resolution(backbone, kind):
    assert backbone.stages()[1:] == tuple(name(kind, f"layer{i}") for i in (1, 2, 3, 4))
    areas = [backbone.at(layer).feature_shape[1:] for layer in backbone.stages()]
    assert areas == [(48, 48), (24, 24), (12, 12), (6, 6), (3, 3)]


def test_every_stage_gives_the_networks_logits(backbone, net):
    images = IMAGES.flip(3)[:1]
    expected = net(images).detach()
    for layer in backbone.stages():
        other = backbone.at(layer)
        assert (other.layer, other.name, other.split) == (layer, "mine", backbone.split)
        torch.testing.assert_close(other(images), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_a_cut_is_made_once_and_the_own_layer_is_the_backbone_itself(backbone, kind):
    layer = name(kind, "layer2")
    assert backbone.at(backbone.layer) is backbone
    assert backbone.at(layer).features is backbone.at(layer).features
    assert backbone.at(layer).at(backbone.layer).features is backbone.features


def test_the_stages_of_another_cut_end_with_it(backbone, kind):
    assert backbone.at(name(kind, "layer2")).stages()[1:] == (name(kind, "layer1"), name(kind, "layer2"))


def test_the_record_and_the_kind_of_classes_come_along(backbone, kind):
    from dataclasses import replace

    changed = replace(backbone, weights={"source": "here"}, memory_budget=1000, multi_label=True)
    other = changed.at(name(kind, "layer3"))
    assert (other.weights, other.memory_budget, other.multi_label) == ({"source": "here"}, 1000, True)


def test_a_layer_that_is_no_cut_is_refused_and_an_unknown_one_answered(backbone, kind):
    with pytest.raises(rb.UserError, match=r"mine: layer '.*layer2\.0\.conv1' is no cut: later layers also need"):
        backbone.at(name(kind, "layer2.0.conv1"))
    with pytest.raises(rb.UserError, match=r"mine: layer '.*layr2' is not in the network; did you mean '.*layer2'"):
        backbone.at(name(kind, "layr2"))


def storages(backbone: rb.Backbone) -> set[int]:
    return {p.data_ptr() for half in (backbone.features, backbone.head) for p in half.parameters()}


def test_all_cuts_share_the_weights(net, kind):
    backbone = rb.split_backbone(net, IMAGES, fold=False)
    other = backbone.at(name(kind, "layer2"))
    assert storages(other) == storages(backbone)
    assert storages(backbone).isdisjoint(p.data_ptr() for p in net.parameters())


def test_folding_does_not_spoil_other_cuts(net, kind):
    backbone = rb.split_backbone(net, IMAGES)
    for layer in ("layer1", "layer3"):
        other = backbone.at(name(kind, layer))
        assert (other.folded_batch_norms > 0) == (kind == "graph")
        assert other.folded_batch_norms == backbone.folded_batch_norms
        torch.testing.assert_close(other(IMAGES), net(IMAGES).detach(), rtol=0, atol=1e-4)


def test_a_network_under_another_head_has_no_cuts(backbone):
    channels = backbone.feature_shape[0]
    other = with_linear_head(backbone, torch.randn(3, channels), torch.zeros(3))
    assert other.at(other.layer) is other
    for ask in (other.stages, lambda: other.at("layer1")):
        with pytest.raises(rb.UserError, match=f"mine: this network can be cut at '{backbone.layer}' only"):
            ask()


def test_a_forward_pass_moves_along_the_stages_of_a_transformer():
    from reciprocam_bench.explainers.forward_pass import forward_pass

    torch.manual_seed(0)
    net = timm.create_model("test_vit", num_classes=10).eval()
    images = torch.randn(2, 3, 160, 160)
    fp = forward_pass(rb.split_backbone(net, images), images)
    earlier = fp.at("blocks.1")
    assert (fp.context.shape, earlier.context.shape) == ((2, 1, 64), (2, 1, 64))
    torch.testing.assert_close(earlier.head(earlier.features), fp.logits, rtol=0, atol=1e-5)
    # one map in the place of each image's, with the tokens of the image named
    swapped = earlier.head(earlier.features[[1, 0]], torch.tensor([1, 0]))
    torch.testing.assert_close(swapped, fp.logits[[1, 0]], rtol=0, atol=1e-5)
