"""Each family's layer is the one its users would name, and the split gives the network's own logits."""

import pytest
import timm
import torch
import torchvision
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.backbones.ways import split_by

pytestmark = pytest.mark.slow

# library/name: side of the images, the layer that auto finds, (C, h, w), tokens beside the map, pooled linear head
FAMILIES = {
    "torchvision/googlenet": (96, "inception5b", (1024, 3, 3), 0, True),
    "torchvision/inception_v3": (107, "Mixed_7c", (2048, 2, 2), 0, True),
    "torchvision/mnasnet0_5": (96, "layers", (1280, 3, 3), 0, True),
    "torchvision/mobilenet_v3_small": (96, "features", (576, 3, 3), 0, False),
    "torchvision/regnet_x_400mf": (96, "trunk_output", (400, 3, 3), 0, True),
    "torchvision/shufflenet_v2_x0_5": (96, "conv5", (1024, 3, 3), 0, True),
    "torchvision/squeezenet1_1": (96, "features", (512, 5, 5), 0, False),
    "torchvision/swin_t": (96, "norm", (768, 3, 3), 0, True),
    "timm/dla46x_c": (96, "level5", (256, 3, 3), 0, True),
    "timm/efficientvit_b0": (96, "head.in_conv", (1024, 3, 3), 0, False),
    "timm/lcnet_035": (96, "blocks", (176, 3, 3), 0, False),
    "timm/mobilenetv3_small_050": (96, "blocks", (288, 3, 3), 0, False),
    "timm/selecsls42": (96, "head", (1280, 2, 2), 0, True),
    "timm/test_byobnet": (96, "stages", (256, 3, 3), 0, True),
    "timm/test_convnext": (96, "stages", (64, 3, 3), 0, False),
    "timm/test_efficientnet": (96, "bn2", (256, 3, 3), 0, True),
    "timm/test_mambaout": (96, "stages", (64, 3, 3), 0, False),
    "timm/test_nfnet": (96, "final_act", (192, 3, 3), 0, True),
    "timm/test_resnet": (96, "layer4", (96, 3, 3), 0, True),
    "timm/test_vit": (160, "blocks.4", (64, 10, 10), 1, False),
    "timm/test_vit2": (160, "blocks", (64, 10, 10), 1, False),
    "timm/test_vit3": (160, "norm", (96, 10, 10), 1, False),
    "timm/vit_tiny_patch16_224": (224, "blocks.10", (192, 14, 14), 1, False),
    "timm/deit_tiny_distilled_patch16_224": (224, "blocks.10", (192, 14, 14), 2, False),
    "timm/mixer_s32_224": (224, "norm", (512, 7, 7), 0, True),
}


def build(model: str) -> nn.Module:
    """A network of 10 classes that tells images apart."""
    torch.manual_seed(0)
    library, name = model.split("/")
    if library == "timm":
        net = timm.create_model(name, num_classes=10)
    else:
        extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        aux = {"aux_logits": False} if name == "googlenet" else {}
        net = torchvision.models.get_model(name, weights=None, num_classes=10, **extra, **aux)
    for parameter in net.parameters():  # heads that start at zero say nothing
        if not parameter.any():
            nn.init.normal_(parameter, 0, 0.02)
    return net.eval()


def pictures(count: int, side: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    net, side = build(request.param), FAMILIES[request.param][0]
    return request.param, net, rb.split_backbone(net, pictures(2, side))


def test_auto_finds_the_layer_of_the_family(family):
    model, _, backbone = family
    side, layer, shape, tokens, linear = FAMILIES[model]
    _, context = backbone.encode(pictures(1, side))
    assert (backbone.layer, backbone.feature_shape, backbone.linear is not None) == (layer, shape, linear)
    assert (0 if context is None else context.shape[1]) == backbone.prefix_tokens == tokens


def test_head_of_features_is_the_network_on_another_batch_size(family):
    model, net, backbone = family
    images = pictures(3, FAMILIES[model][0], seed=2)
    with torch.no_grad():
        expected, actual = net(images), backbone(images)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5 * max(1e-3, float(expected.abs().max())))


def test_gradients_reach_every_position(family):
    model, _, backbone = family
    maps, context = backbone.encode(pictures(2, FAMILIES[model][0]))
    leaf = maps.detach().clone().requires_grad_()
    logits = backbone.classify(leaf, context)
    (gradient,) = torch.autograd.grad((logits * torch.randn_like(logits)).sum(), leaf)
    assert float((gradient != 0).any(1).float().mean()) > 0.7


@pytest.mark.parametrize(
    ("model", "side", "layer", "shape"),
    [
        ("timm/test_resnet", 224, "layer2", (48, 28, 28)),
        ("timm/test_resnet", 224, "layer3", (192, 14, 14)),
        ("timm/vit_tiny_patch16_224", 224, "blocks.5", (192, 14, 14)),
        ("timm/vit_tiny_patch16_224", 224, "blocks.11", (192, 14, 14)),
        ("timm/vit_tiny_patch16_224", 224, "patch_embed", (192, 14, 14)),
    ],
)
def test_an_earlier_layer_can_be_named(model, side, layer, shape):
    net = build(model)
    backbone = rb.split_backbone(net, pictures(1, side), layer)
    images = pictures(2, side, seed=2)
    assert backbone.feature_shape == shape
    with torch.no_grad():
        expected, actual = net(images), backbone(images)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("model", ["timm/test_vit", "timm/test_vit2", "timm/test_mambaout", "timm/test_resnet"])
def test_replacing_finds_a_layer_as_good_as_the_graphs(model):
    net, side = build(model).requires_grad_(False), FAMILIES[model][0]
    halves = split_by("replace", net, pictures(2, side), "auto")
    assert halves.layer == FAMILIES[model][1]
    images = pictures(3, side, seed=2)
    with torch.no_grad():
        torch.testing.assert_close(halves.head(halves.features(images)), net(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["pit_ti_224", "coat_tiny"])
def test_a_network_whose_class_token_goes_its_own_way_is_refused(name):
    with pytest.raises(rb.UserError, match=r"all of the logits come from|all later layers depend on") as error:
        rb.split_backbone(timm.create_model(name, num_classes=10), pictures(1, 224), name="mine")
    assert str(error.value).startswith("mine: layer 'auto' cannot be split off")
    assert "layer: image" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("layer", ["blocks.3.mlp", "blocks.3.attn", "blocks.3.attn.proj"])
def test_a_layer_inside_a_residual_block_of_a_transformer_is_no_cut(layer):
    with pytest.raises(rb.UserError, match=f"layer '{layer}' is no cut: later layers also need"):
        rb.split_backbone(build("timm/test_vit"), pictures(1, 160), layer)


def test_images_need_not_be_square():
    net = timm.create_model("vit_tiny_patch16_224", num_classes=10, img_size=(96, 160)).eval()
    images = torch.randn(2, 3, 96, 160)
    backbone = rb.split_backbone(net, images)
    assert (backbone.layer, backbone.feature_shape) == ("blocks.10", (192, 6, 10))
    torch.testing.assert_close(backbone(images), net(images).detach(), rtol=0, atol=1e-5)


def test_torchvisions_transformer_is_cut_before_its_last_block():
    torch.manual_seed(0)
    net = torchvision.models.VisionTransformer(32, 8, num_layers=4, num_heads=2, hidden_dim=16, mlp_dim=32)
    backbone = rb.split_backbone(net, pictures(2, 32))  # its head starts at zero
    assert (backbone.layer, backbone.feature_shape) == ("encoder.layers.encoder_layer_2", (16, 4, 4))
    assert not any(backbone(pictures(1, 32)).flatten()), "the zero head was not put back"
    assert backbone.at("encoder.layers.encoder_layer_0").feature_shape == (16, 4, 4)


def test_a_channels_last_network_is_cut_at_its_stages_and_its_head_is_pooled_linear():
    torch.manual_seed(0)
    shape = {"embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4), "window_size": 4}
    net = timm.models.SwinTransformer(img_size=64, num_classes=10, **shape).eval()
    backbone = rb.split_backbone(net, pictures(2, 64))
    assert (backbone.layer, backbone.feature_shape, backbone.linear is not None) == ("norm", (48, 8, 8), True)
    assert backbone.stages() == ("layers.0", "norm")
    images = pictures(3, 64, seed=2)
    expected = net(images).detach()
    for layer in ("norm", "layers.1", "layers.0", "patch_embed"):
        torch.testing.assert_close(backbone.at(layer)(images), expected, rtol=0, atol=1e-5)
    with torch.no_grad():
        norm = net.norm(net.layers(net.patch_embed(images)))
        torch.testing.assert_close(backbone.features(images), norm.permute(0, 3, 1, 2), rtol=0, atol=1e-5)


class Explained(nn.Module):
    """What an export needs: the logits and the maps they come from."""

    def __init__(self, backbone: rb.Backbone) -> None:
        super().__init__()
        self.features, self.head = backbone.features, backbone.head

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        maps, context = self.features(images)
        return self.head(maps, context), maps


COMPILERS = {
    "export": lambda module, images: torch.export.export(module, (images,)).module(),
    "trace": lambda module, images: torch.jit.trace(module, images),
    "compile": lambda module, images: torch.compile(module, backend="eager", fullgraph=True),
}


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_transformers_context_survives_compilers(compiler):
    net = build("timm/test_vit")
    backbone = rb.split_backbone(net, pictures(2, 160))
    images = pictures(2, 160, seed=2)
    compiled = COMPILERS[compiler](Explained(backbone).eval(), pictures(2, 160))
    with torch.no_grad():
        logits, maps = compiled(images)
        torch.testing.assert_close(logits, net(images), rtol=0, atol=1e-5)
        torch.testing.assert_close(maps, backbone.encode(images)[0], rtol=0, atol=1e-5)
