"""ViT-ReciproCAM against a plain loop over masks on the uncut transformer, and every other method on transformers."""

import dataclasses

import pytest
import timm
import torch
import torchvision
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.explainers.registry import EXPLAINERS

pytestmark = pytest.mark.slow

CLASSES = [3, 0]


def transformer(name: str, **options) -> nn.Module:
    torch.manual_seed(0)
    net = timm.create_model(name, num_classes=6, **options)
    for parameter in net.parameters():  # untrained heads answer every image alike
        if parameter.ndim == 1:
            nn.init.normal_(parameter, std=0.5)
        else:
            parameter.data *= 3
    return net.eval()


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def vit() -> nn.Module:
    return transformer("vit_tiny_patch16_224", img_size=64, depth=4)


@pytest.fixture(scope="module")
def narrow(pictures) -> rb.Backbone:
    """One of few channels, for methods that score them one by one."""
    return rb.split_backbone(transformer("vit_tiny_patch16_224", img_size=64, depth=4, embed_dim=96), pictures)


def masks(kind: str, h: int, w: int) -> list[list[list[float]]]:
    """What each token of the grid is multiplied with, written from the definition."""
    kernel = {0: {0: 4, 1: 2}, 1: {0: 2, 1: 1}}
    found = []
    for i in range(h):
        for j in range(w):
            weight = [[0.0] * w for _ in range(h)]
            for a in range(h):
                for b in range(w):
                    if kind == "one-hot":
                        weight[a][b] = float((a, b) == (i, j))
                    elif abs(a - i) <= 1 and abs(b - j) <= 1:
                        weight[a][b] = kernel[abs(a - i)][abs(b - j)] / 16
            found.append(weight)
    return found


def by_loop(net, norm: nn.Module, image: torch.Tensor, c: int, kind: str, side: int, prefix: int) -> torch.Tensor:
    """One full forward a mask; ``norm`` is the first LayerNorm of the block, in the user's own module."""
    scores = []
    for weight in masks(kind, side, side):
        factors = torch.cat([torch.ones(prefix), torch.tensor(weight).flatten()])
        hook = norm.register_forward_hook(
            lambda m, i, out, f=factors: (out.reshape(1, len(f), -1) * f[:, None]).view_as(out)
        )
        with torch.no_grad():
            scores.append(net(image[None]).softmax(1)[0, c])
        hook.remove()
    return torch.stack(scores).view(side, side)


@pytest.mark.parametrize("mask", ["gaussian", "one-hot"])
def test_it_is_the_plain_loop_over_tokens(vit, pictures, mask):
    backbone = rb.split_backbone(vit, pictures)
    maps = rb.explain(backbone, pictures, CLASSES, "vitreciprocam", mask=mask)
    expected = [by_loop(vit, vit.blocks[-1].norm1, x, c, mask, 4, 1) for x, c in zip(pictures, CLASSES, strict=True)]
    torch.testing.assert_close(maps, torch.stack(expected), rtol=1e-4, atol=1e-6)
    assert maps.flatten(1).std(1).min() > 1e-5


def test_the_authors_block_is_the_one_before(vit, pictures):
    backbone = rb.split_backbone(vit, pictures, "blocks.1")
    maps = rb.explain(backbone, pictures, CLASSES, "vitreciprocam")
    expected = [
        by_loop(vit, vit.blocks[-2].norm1, x, c, "gaussian", 4, 1) for x, c in zip(pictures, CLASSES, strict=True)
    ]
    torch.testing.assert_close(maps, torch.stack(expected), rtol=1e-4, atol=1e-6)


def test_a_distilled_transformer_keeps_both_its_tokens(pictures):
    net = transformer("deit_tiny_distilled_patch16_224", img_size=64, depth=3)
    maps = rb.explain(rb.split_backbone(net, pictures), pictures, CLASSES, "vitreciprocam")
    expected = [
        by_loop(net, net.blocks[-1].norm1, x, c, "gaussian", 4, 2) for x, c in zip(pictures, CLASSES, strict=True)
    ]
    torch.testing.assert_close(maps, torch.stack(expected), rtol=1e-4, atol=1e-6)


def test_torchvisions_transformer(pictures):
    torch.manual_seed(0)
    net = torchvision.models.VisionTransformer(64, 16, 3, 2, 32, 64, num_classes=6).eval()
    nn.init.normal_(net.heads.head.weight)
    norm = net.encoder.layers[-1].ln_1
    maps = rb.explain(rb.split_backbone(net, pictures), pictures, CLASSES, "vitreciprocam")
    expected = [by_loop(net, norm, x, c, "gaussian", 4, 1) for x, c in zip(pictures, CLASSES, strict=True)]
    torch.testing.assert_close(maps, torch.stack(expected), rtol=1e-4, atol=1e-6)


def test_batches_chunks_and_scores(pictures, vit):
    backbone = rb.split_backbone(vit, pictures)
    maps = rb.explain(backbone, pictures, CLASSES, "vitreciprocam")
    alone = [rb.explain(backbone, pictures[n : n + 1], CLASSES[n], "vitreciprocam") for n in (0, 1)]
    torch.testing.assert_close(torch.cat(alone), maps, rtol=1e-4, atol=1e-6)
    small = dataclasses.replace(backbone, memory_budget=1)
    torch.testing.assert_close(rb.explain(small, pictures, CLASSES, "vitreciprocam"), maps, rtol=1e-4, atol=1e-6)
    logits = rb.explain(backbone, pictures, CLASSES, "vitreciprocam", score="logit")
    assert (logits - maps).abs().max() > 1e-2
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in backbone.head.modules())


def test_networks_without_the_norm_are_refused(tiny, images, vit, pictures):
    with pytest.raises(
        rb.UserError, match=r"behind layer 'stem' of custom does not begin with a LayerNorm.*take reciprocam"
    ):
        rb.explain(tiny, images, method="vitreciprocam")
    inside = rb.split_backbone(transformer("test_convnext"), pictures)
    with pytest.raises(rb.UserError, match="does not begin with a LayerNorm of its tokens"):
        rb.explain(inside, pictures, method="vitreciprocam")


def test_it_masks_a_swins_block_that_is_named_and_says_so_where_none_is(pictures):
    net = transformer("swin_tiny_patch4_window7_224", img_size=64, window_size=2, embed_dim=12, depths=(1, 1, 1, 2))
    with pytest.raises(rb.UserError, match=r"method 'vitreciprocam': what lies behind layer 'norm'.*layers.3.blocks.0"):
        rb.explain(rb.split_backbone(net, pictures), pictures, method="vitreciprocam")
    backbone = rb.split_backbone(net, pictures, "layers.3.blocks.0")
    maps = rb.explain(backbone, pictures, CLASSES, "vitreciprocam")
    norm = net.layers[3].blocks[1].norm1
    expected = [by_loop(net, norm, x, c, "gaussian", 2, 0) for x, c in zip(pictures, CLASSES, strict=True)]
    torch.testing.assert_close(maps, torch.stack(expected), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["reciprocam", "fusedreciprocam", "vitreciprocam"])
def test_no_pixel_is_taken_for_a_position_of_the_features(vit, pictures, method):
    with pytest.raises(rb.UserError, match=f"method '{method}': .*blackboxreciprocam"):
        options = {"layers": ["image"]} if method == "fusedreciprocam" else {}
        rb.explain(rb.split_backbone(vit, pictures, "image"), pictures, method=method, **options)


def test_fullgrad_refuses_a_network_whose_biases_it_does_not_read(vit, pictures):
    backbone = rb.split_backbone(vit, pictures)
    with pytest.raises(
        rb.UserError, match="method 'fullgrad': it reads the biases of convolutions and batch norms; of 27"
    ):
        rb.explain(backbone, pictures, method="fullgrad")


CHEAP = {
    "blackboxreciprocam": {"patch": 32, "stride": 16},
    "iscam": {"samples": 1},
    "opticam": {"iterations": 2},
    "rise": {"samples": 4},
    "sscam": {"samples": 1},
}


@pytest.mark.parametrize(
    "name", [name for name in EXPLAINERS.all() if name not in ("cam", "exported", "fullgrad", "oracle")]
)
def test_every_method_explains_a_transformer(narrow, pictures, name):
    """Tokens beside the map reach the head in every method; a batch is its images one by one."""
    assert (narrow.layer, narrow.feature_shape) == ("blocks.2", (96, 4, 4))
    options = CHEAP.get(name, {})
    maps = rb.explain(narrow, pictures, CLASSES, name, **options)
    alone = [rb.explain(narrow, pictures[n : n + 1], CLASSES[n], name, **options) for n in (0, 1)]
    torch.testing.assert_close(torch.cat(alone), maps, rtol=1e-3, atol=1e-4 * maps.abs().max().item())
    assert maps.isfinite().all()
    assert maps.flatten(1).std(1).max() > 0
