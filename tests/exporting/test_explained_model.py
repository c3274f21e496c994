"""The module that returns logits and maps: equal to the methods, movable, compilable, and refused where it must be."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import timm
import torch
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.errors import UserError


def small(head: nn.Module | None = None) -> rb.Backbone:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, stride=4, padding=1), nn.ReLU()]
    head = head or nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5))
    return rb.split_backbone(nn.Sequential(*layers, *head), torch.randn(2, 3, 24, 32))


def images(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 3, 24, 32, generator=torch.Generator().manual_seed(1))


def not_linear() -> nn.Module:
    return nn.Sequential(nn.Conv2d(6, 6, 3), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(6, 5))


@pytest.mark.parametrize("mask", ["one-hot", "gaussian"])
@pytest.mark.parametrize("score", ["softmax", "logit"])
@pytest.mark.parametrize("head", [None, not_linear])
def test_maps_are_those_of_reciprocam(head, mask, score):
    backbone = small(head and head())
    title = f"reciprocam[mask={mask},score={score}]"
    model = rb.ExplainedModel(backbone, title)
    assert model.path == ("batched-head" if head else "closed-form")
    with torch.no_grad():
        logits, maps = model(images())
    assert torch.allclose(logits, backbone(images()), atol=1e-6)
    assert torch.allclose(maps, rb.explain(backbone, images(), method=title), atol=1e-6)


def test_maps_are_those_of_cam():
    backbone = small()
    with torch.no_grad():
        _, every = rb.ExplainedModel(backbone, "cam", classes="all")(images())
        _, some = rb.ExplainedModel(backbone, "cam", classes=[4, 1])(images())
        _, given = rb.ExplainedModel(backbone, "cam", classes="input")(images(), torch.tensor([2, 0, 4]))
    assert torch.allclose(every, rb.explain(backbone, images(), "all", "cam"), atol=1e-6)
    assert torch.allclose(some, every[:, [4, 1]], atol=1e-6)
    assert torch.allclose(given, rb.explain(backbone, images(), [2, 0, 4], "cam"), atol=1e-6)


def test_a_multi_label_network_has_sigmoids():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    backbone = rb.split_backbone(net, torch.randn(1, 3, 24, 32), multi_label=True)
    with torch.no_grad():
        _, maps = rb.ExplainedModel(backbone, classes="all")(images())
    assert torch.allclose(maps, rb.explain(backbone, images(), "all"), atol=1e-6)
    assert float((maps.sum(1) - 1).abs().max()) > 0.1


def test_maps_of_the_image_from_0_to_1_and_features():
    backbone = small()
    model = rb.ExplainedModel(backbone, normalise=True, resolution="image", features=True)
    with torch.no_grad():
        _, maps, features = model(images())
    assert maps.shape == (3, 24, 32)
    assert maps.amin((1, 2)).tolist() == [0, 0, 0] and maps.amax((1, 2)).tolist() == [1, 1, 1]
    assert torch.equal(features, backbone.encode(images())[0])


def test_a_constant_map_becomes_0():
    backbone = small()
    with torch.no_grad():
        for parameter in backbone.features.parameters():
            parameter.zero_()
        _, maps = rb.ExplainedModel(backbone, normalise=True)(images())
    assert maps.abs().max() == 0


def test_it_copies_and_converts_as_a_whole():
    model = rb.ExplainedModel(small())
    twin = copy.deepcopy(model).double()
    with torch.no_grad():
        maps, wide = model(images())[1], twin(images().double())[1]
    assert wide.dtype == torch.float64 and torch.allclose(maps, wide.float(), atol=1e-6)


def vit() -> rb.Backbone:
    """A transformer of 6x8 patches, a class token beside them."""
    torch.manual_seed(0)
    net = timm.create_model(
        "vit_tiny_patch16_224", img_size=(24, 32), patch_size=4, embed_dim=24, depth=3, num_heads=2, num_classes=5
    )
    for parameter in net.parameters():  # untrained, it would answer every image alike
        if parameter.ndim == 1:
            nn.init.normal_(parameter, std=0.5)
    return rb.split_backbone(net, torch.randn(2, 3, 24, 32))


@pytest.mark.parametrize("method", ["reciprocam", "vitreciprocam", "vitreciprocam[mask=one-hot,score=logit]"])
def test_a_transformer_has_the_maps_of_its_methods(method):
    backbone = vit()
    with torch.no_grad():
        logits, maps = rb.ExplainedModel(backbone, method)(images())
        _, every = rb.ExplainedModel(backbone, method, classes="all")(images())
    expected = rb.explain(backbone, images(), method=method)
    torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-6)
    assert maps.shape == (3, 6, 8) and maps.std() > 1e-6
    assert torch.equal(every[torch.arange(3), logits.argmax(1)], maps)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "method"),
    [(small, "reciprocam"), (lambda: small(not_linear()), "reciprocam"), (small, "cam"), (vit, "vitreciprocam")],
)
def test_it_compiles(backbone, method):
    model = rb.ExplainedModel(backbone(), method, resolution="image")
    with torch.no_grad():
        expected = model(images())
        found = torch.compile(model, fullgraph=True, backend="aot_eager")(images())
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(expected, found, strict=True))


FORMS = [{}, {"classes": "all", "normalise": True}, {"classes": (4, 1), "resolution": "image", "features": True}]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("backbone", "method"),
    [(small, "reciprocam[mask=gaussian]"), (lambda: small(not_linear()), "reciprocam"), (vit, "vitreciprocam")],
)
def test_it_works_on_the_device_it_is_moved_to(backbone, method, form):
    """Tensors of the pretended device have no values: whatever asks for one, or lies elsewhere, fails."""
    model = rb.ExplainedModel(backbone(), method, **form)
    elsewhere = copy.deepcopy(model).to("meta")
    with torch.no_grad():
        expected, found = model(images()), elsewhere(images().to("meta"))
    assert [(t.device.type, t.shape) for t in found] == [("meta", t.shape) for t in expected]


def test_copies_run_side_by_side():
    """A copy a device, each called from a thread of its own."""
    model = rb.ExplainedModel(vit(), "vitreciprocam")
    batches = [images(n) for n in (1, 2, 3, 4)]

    def call(job: tuple[nn.Module, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        with torch.no_grad():
            return job[0](job[1])

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(call, [(copy.deepcopy(model), batch) for batch in batches]))
    for batch, ours in zip(batches, found, strict=True):
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(call((model, batch)), ours, strict=True))


@pytest.mark.gpu
def test_copies_run_on_several_devices():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    model = rb.ExplainedModel(vit(), "vitreciprocam", resolution="image")
    with torch.no_grad():
        expected = model(images())
        for index in range(torch.cuda.device_count()):
            found = copy.deepcopy(model).to(f"cuda:{index}")(images().to(f"cuda:{index}"))
            assert all(t.device.index == index for t in found)
            assert all(torch.allclose(a, b.cpu(), atol=1e-4) for a, b in zip(expected, found, strict=True))


@pytest.mark.parametrize(
    ("method", "form", "message"),
    [
        ("gradcam", {}, "a model can return the maps of reciprocam, vitreciprocam, cam"),
        ("reciprocam[path=reference]", {}, "path reference is a loop"),
        ("reciprocam", {"classes": "top1"}, "write predicted, input, all, or indices"),
        ("reciprocam", {"classes": [5]}, "indices are 0 to 4"),
        ("reciprocam", {"classes": []}, "indices are 0 to 4, and at least one"),
        ("reciprocam", {"resolution": "half"}, "resolution 'half': write features or image"),
    ],
)
def test_what_it_cannot_be_is_said(method, form, message):
    with pytest.raises(UserError, match=message.replace("[", r"\[")):
        rb.ExplainedModel(small(), method, **form)


def test_cam_needs_its_head():
    with pytest.raises(UserError, match="needs a head of global average pooling"):
        rb.ExplainedModel(small(not_linear()), "cam")


def test_given_classes_are_asked_for():
    with pytest.raises(UserError, match="call model"):
        rb.ExplainedModel(small(), classes="input")(images())


def test_a_head_that_pools_a_window_is_run_as_it_is():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(8, 3)
    )
    backbone = rb.split_backbone(net, torch.randn(2, 3, 16, 16), layer="1")
    model = rb.ExplainedModel(backbone)
    assert model.path == "batched-head"
    for side in (16, 28):
        pictures = torch.randn(2, 3, side, side)
        with torch.no_grad():
            torch.testing.assert_close(model(pictures)[1], rb.explain(backbone, pictures))
    with pytest.raises(UserError, match=r"the head pools maps of \(4, 4\) as a whole, not of \(7, 7\)"):
        rb.ExplainedModel(backbone, "cam")(torch.randn(2, 3, 28, 28))
