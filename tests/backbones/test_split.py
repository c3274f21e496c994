"""Splitting keeps the function, finds the layer, and leaves the user's module alone."""

import copy
import dataclasses

import pytest
import timm
import torch
import torchvision
from small_networks import vgg11
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.backbones.graph import TracedNetwork
from reciprocam_bench.explainers.forward_pass import forward_pass

pytestmark = pytest.mark.slow

# library/name: the layer that auto finds, (C, h, w) at 96x96, whether the head is pooled and linear
NETWORKS = {
    "torchvision/resnet18": ("layer4", (512, 3, 3), True),
    "torchvision/densenet121": ("relu", (1024, 3, 3), True),
    "torchvision/resnext50_32x4d": ("layer4", (2048, 3, 3), True),
    "torchvision/vgg11": ("features", (512, 3, 3), False),
    "timm/resnet18": ("layer4", (512, 3, 3), True),
    "timm/tf_efficientnet_lite0": ("bn2", (1280, 3, 3), True),
}


def build(model: str) -> nn.Module:
    """A network of 10 classes whose batch norms all do something."""
    torch.manual_seed(0)
    library, name = model.split("/")
    if library == "timm":
        net = timm.create_model(name, num_classes=10)
    else:
        net = vgg11(10) if name == "vgg11" else torchvision.models.get_model(name, weights=None, num_classes=10)
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.running_mean.uniform_(-0.2, 0.2)
        norm.running_var.uniform_(0.5, 1.5)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.2, 0.2)
    return net.eval()


def pictures(count: int, seed: int, side: int = 96) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def layer_output(net: nn.Module, layer: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """What a forward hook on the uncut network sees."""
    seen = []
    hook = layer.register_forward_hook(lambda module, inputs, output: seen.append(output.clone()))
    with torch.no_grad():
        net(images)
    hook.remove()
    return seen[-1]


def assert_same_function(backbone: rb.Backbone, net: nn.Module, images: torch.Tensor) -> None:
    with torch.no_grad():
        expected, actual = net(images), backbone.head(backbone.features(backbone.prepare(images)))
    scale = expected.abs().max().item()
    assert expected.std() > 1e-2 * scale > 0, "the test net answers with constants"
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5 * max(1.0, scale))


class Inplace(nn.Module):
    """A convolution whose output the next layer overwrites."""

    def __init__(self, branches: bool = False) -> None:
        super().__init__()
        self.conv, self.act, self.fc = nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(inplace=True), nn.Linear(6, 4)
        self.branches = branches

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.act(self.conv(x))
        if self.branches and y.sum() > 1e9:
            y = y * 2
        return self.fc(y.mean((2, 3)))


class Branching(nn.Module):
    """Looks at its data to decide what to run, so no trace of it exists."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6))
        self.act, self.fc = nn.ReLU(), nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.act(self.stem(x))
        if y.sum() > 1e9:
            y = y * 2
        return self.fc(y.mean((2, 3)))


class Returning(nn.Module):
    def __init__(self, make) -> None:
        super().__init__()
        self.make = make

    def forward(self, x: torch.Tensor):
        return self.make(x)


@pytest.fixture(scope="module", params=NETWORKS)
def split_net(request):
    net = build(request.param)
    return request.param, net, rb.split_backbone(net, pictures(2, seed=1), name=request.param)


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    return build("torchvision/resnet18")


def test_head_of_features_is_the_model_on_images_it_was_not_split_with(split_net):
    _, net, backbone = split_net
    assert_same_function(backbone, net, pictures(3, seed=2))


def test_auto_finds_the_last_spatial_map_by_tracing(split_net):
    model, _, backbone = split_net
    layer, shape, linear = NETWORKS[model]
    assert (backbone.layer, backbone.feature_shape, backbone.linear is not None) == (layer, shape, linear)
    assert (backbone.split, backbone.name, backbone.num_classes) == ("graph", model, 10)


def test_features_have_the_shape_that_is_announced(split_net):
    _, _, backbone = split_net
    with torch.no_grad():
        assert backbone.features(pictures(1, seed=3)).shape == (1, *backbone.feature_shape)


def test_calling_a_backbone_gives_logits(tiny, tiny_net, images):
    with torch.no_grad():
        torch.testing.assert_close(tiny(images), tiny_net(images))


@pytest.mark.parametrize("layer", ["layer3", "layer4"])
def test_features_are_the_named_layers_output(resnet, layer):
    backbone = rb.split_backbone(resnet, pictures(2, seed=1), layer)
    expected = layer_output(resnet, getattr(resnet, layer), pictures(2, seed=4))
    with torch.no_grad():
        actual = backbone.features(pictures(2, seed=4))
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5 * expected.abs().max().item())
    assert backbone.layer == layer
    assert_same_function(backbone, resnet, pictures(2, seed=4))


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ("layer4.0.conv1", "layer 'layer4.0.conv1' is no cut"),
        ("avgpool", "layer 'avgpool' gives no spatial map (N, C, h, w); name an earlier layer"),
        ("fc", "layer 'fc' gives no spatial map"),
        ("layer4.0.conv9", "layer 'layer4.0.conv9' is not in the network; did you mean 'layer4.0.conv"),
        ("nothing like it", "layer 'nothing like it' is not in the network"),
        ("", "layer '' is not in the network"),
    ],
)
def test_a_layer_that_cannot_be_split_off_is_named(resnet, layer, words):
    with pytest.raises(rb.UserError) as error:
        rb.split_backbone(resnet, pictures(1, seed=1), layer, name="mine")
    assert str(error.value).startswith("mine: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_named_module_that_runs_twice_means_its_last_run_as_for_a_hook(resnet):
    backbone = rb.split_backbone(resnet, pictures(1, seed=1), "layer4.1.relu")
    expected = layer_output(resnet, resnet.layer4, pictures(1, seed=4))
    with torch.no_grad():
        actual = backbone.features(pictures(1, seed=4))
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def snapshot(net: nn.Module) -> dict:
    return {
        "state": copy.deepcopy(net.state_dict()),
        "training": {name: m.training for name, m in net.named_modules()},
        "requires_grad": {name: p.requires_grad for name, p in net.named_parameters()},
        "parameters": [id(p) for p in net.parameters()],
        "strides": [p.stride() for p in net.parameters()],
        "hooks": {n: (list(m._forward_hooks), list(m._forward_pre_hooks)) for n, m in net.named_modules()},
    }


@pytest.mark.parametrize("layer", ["auto", "image", "no such layer"])
@pytest.mark.parametrize("kind", ["graph", "replace"])
def test_the_users_module_is_left_as_it_was_also_after_an_error(tiny_net, layer, kind):
    net = tiny_net if kind == "graph" else Branching()
    net.train()
    net.stem[1].eval()
    net.fc.weight.requires_grad_(False)
    net.fc.register_forward_hook(lambda module, inputs, output: None)
    before = snapshot(net)
    try:
        backbone = rb.split_backbone(net, pictures(2, seed=1, side=16), layer)
        if layer == "auto":
            backbone.stages()
    except rb.UserError:
        assert layer == "no such layer"
    else:
        assert layer != "no such layer"
    after = snapshot(net)
    torch.testing.assert_close(after.pop("state"), before.pop("state"), rtol=0, atol=0)
    assert after == before


def test_a_backbone_does_not_share_weights_with_the_users_module(tiny_net, tiny, images):
    before = tiny(images)
    with torch.no_grad():
        for parameter in tiny_net.parameters():
            parameter.zero_()
    torch.testing.assert_close(tiny(images), before, rtol=0, atol=0)
    assert not any(p.requires_grad for p in [*tiny.features.parameters(), *tiny.head.parameters()])


def test_a_module_in_training_mode_is_split_in_eval_mode(tiny_net, images):
    expected = tiny_net(images).detach()
    backbone = rb.split_backbone(tiny_net.train(), images)
    torch.testing.assert_close(backbone(images), expected)
    torch.testing.assert_close(backbone(images[:1]), expected[:1])


@pytest.mark.parametrize(("layer", "linear"), [("auto", True), ("stem.0", False)])
def test_a_net_with_data_dependent_flow_is_split_by_replacing(layer, linear):
    torch.manual_seed(0)
    net = Branching().eval()
    backbone = rb.split_backbone(net, pictures(2, seed=1, side=16), layer)
    assert (backbone.split, backbone.layer) == ("replace", "act" if layer == "auto" else layer)
    assert (backbone.linear is not None) == linear
    assert_same_function(backbone, net, pictures(3, seed=2, side=16))


@pytest.mark.parametrize(
    ("layer", "words"),
    [("stm", "did you mean 'stem'?"), ("fc", "layer 'fc'"), ("stem.0.weight", "not in the network")],
)
def test_an_untraceable_net_names_the_layer_it_cannot_be_split_at(layer, words):
    with pytest.raises(rb.UserError) as error:
        rb.split_backbone(Branching(), pictures(2, seed=1, side=16), layer)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda x: (x.mean((2, 3)), x), "it returns tuple"),
        (lambda x: {"logits": x.mean((2, 3))}, "it returns dict"),
        (lambda x: x, "it returns shape (2, 3, 8, 8)"),
        (lambda x: x.mean((1, 2, 3)), "it returns shape (2,)"),
    ],
)
def test_a_model_without_logits_is_refused(make, words):
    with pytest.raises(rb.UserError, match=r"custom: the model must return logits \(N, K\)") as error:
        rb.split_backbone(Returning(make), pictures(2, seed=1, side=8))
    assert words in str(error.value)


def test_a_network_without_a_spatial_map_is_refused():
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    with pytest.raises(rb.UserError, match="layer 'auto' cannot be split off"):
        rb.split_backbone(net, pictures(2, seed=1, side=8))


@pytest.mark.parametrize("branches", [False, True], ids=["graph", "replace"])
def test_the_head_leaves_its_maps_alone_where_the_next_layer_works_in_place(branches):
    torch.manual_seed(0)
    net = Inplace(branches).eval()
    images = pictures(2, seed=1, side=16)
    backbone = rb.split_backbone(net, images, "conv")
    assert backbone.split == ("replace" if branches else "graph")
    with torch.no_grad():
        maps = backbone.features(images)
        torch.testing.assert_close(maps, net.conv(images))
        before = maps.clone()
        torch.testing.assert_close(backbone.head(maps), net(images))
    torch.testing.assert_close(maps, before, rtol=0, atol=0)


def test_a_convolution_used_on_both_sides_of_the_cut_keeps_the_function():
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
            self.fc = nn.Linear(3, 4)
            self.norm.running_var.fill_(3.0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.conv(self.norm(self.conv(x))).relu().mean((2, 3)))

    torch.manual_seed(0)
    net = Shared().eval()
    backbone = rb.split_backbone(net, pictures(2, seed=1, side=16), "norm")
    assert_same_function(backbone, net, pictures(2, seed=2, side=16))


@pytest.mark.parametrize("name", ["test_mambaout", "test_vit"])
def test_channels_last_maps_are_turned_or_refused_never_taken_for_channels_first(name):
    net = timm.create_model(name, num_classes=10)
    try:
        backbone = rb.split_backbone(net, pictures(1, seed=1))
    except rb.UserError:
        return
    _, height, width = backbone.feature_shape
    assert height == width, f"{backbone.layer} {backbone.feature_shape} of a square image"


@pytest.mark.parametrize("size", [(24, 12), (97, 31), (33, 130)])
def test_an_example_need_not_be_square(tiny_net, size):
    images = torch.randn(2, 3, *size)
    backbone = rb.split_backbone(tiny_net, images)
    height, width = ((side - 1) // 4 + 1 for side in size)
    assert (backbone.layer, backbone.feature_shape) == ("stem", (8, height, width))
    assert_same_function(backbone, tiny_net, images)


def test_a_double_precision_module_is_split_in_double_precision(tiny_net, images):
    backbone = rb.split_backbone(tiny_net.double(), images.double())
    assert backbone.linear is not None
    torch.testing.assert_close(backbone(images.double()), tiny_net(images.double()).detach())


class OffByHalf(nn.Module):
    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return self.head(maps) + 0.5


def test_a_way_of_splitting_that_changes_the_logits_is_not_taken(monkeypatch, tiny_net, images):
    by_graph = TracedNetwork.halves

    def wrong(*args):
        halves = by_graph(*args)
        return halves._replace(head=OffByHalf(halves.head))

    monkeypatch.setattr(TracedNetwork, "halves", wrong)
    backbone = rb.split_backbone(tiny_net, images)
    assert (backbone.split, backbone.split_error < 1e-5) == ("replace", True)


def test_the_split_error_is_the_largest_difference_of_the_logits(monkeypatch, tiny_net, images):
    by_graph = TracedNetwork.halves

    def nearly(*args):
        halves = by_graph(*args)
        halves.head.fc.bias = nn.Parameter(torch.full((5,), 2.0 + 1e-3), requires_grad=False)
        return halves

    nn.init.constant_(tiny_net.fc.bias, 2.0)
    monkeypatch.setattr(TracedNetwork, "halves", nearly)
    assert rb.split_backbone(tiny_net, images).split_error == pytest.approx(1e-3, rel=0.01)


def test_what_this_process_keeps_of_a_gpu_counts_as_free(tiny, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (4000, 9000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 3000)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 1000)
    backbone = dataclasses.replace(tiny, memory_budget=None, device=torch.device("cuda"))
    assert backbone.chunk_size(100) == 15


@pytest.mark.parametrize(
    ("budget", "bytes_each", "size"), [(1000, 100, 10), (99, 100, 1), (0, 100, 1), (10**9, 100, 64), (1000, 0, 64)]
)
def test_chunk_size_follows_the_memory_budget(tiny, budget, bytes_each, size):
    backbone = dataclasses.replace(tiny, memory_budget=budget, bytes_per_image=10)
    assert backbone.chunk_size(bytes_each) == size
    assert dataclasses.replace(backbone, memory_budget=30).chunk_size() == 3


def test_prepare_gives_channels_last_on_the_device(tiny, images):
    prepared = tiny.prepare(images)
    assert prepared.is_contiguous(memory_format=torch.channels_last)
    assert prepared.device == tiny.device
    torch.testing.assert_close(prepared, images, rtol=0, atol=0)


def test_a_head_that_works_in_place_on_other_images_alone_leaves_the_map_alone():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.ReLU())
            self.act, self.fc = nn.ReLU6(inplace=True), nn.Linear(4, 3)

        def forward(self, x):
            return self.fc(self.act(self.stem(x)).mean((2, 3)))

    torch.manual_seed(0)
    net = Net()
    backbone = rb.split_backbone(net, torch.rand(2, 3, 32, 32), layer="stem")  # too dark for ReLU6 to change a thing
    bright = 100 * torch.rand(2, 3, 32, 32)
    assert rb.explain(backbone, bright, [0, 1], "gradcam").isfinite().all()
    assert forward_pass(backbone, bright).features.max() == net.stem(bright).max() > 6


def test_a_function_that_would_change_other_images_in_place_is_refused():
    weight = torch.randn(3, 3)
    with pytest.raises(rb.UserError, match="changes its input in place"):
        rb.split_backbone(lambda x: x.clamp_(-1, 1).mean((2, 3)) @ weight, torch.rand(2, 3, 8, 8), layer="image")
