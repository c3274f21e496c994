"""RefineCAM and the fused Recipro-CAM: the maps of several layers, multiplied or averaged by hand."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.explainers.registry import EXPLAINERS, make_method

CLASSES = [4, 0, 2]


@pytest.fixture
def staged(images) -> rb.Backbone:
    """Three resolutions, 8x8, 4x4 and 2x2, and a pooled linear head."""
    torch.manual_seed(0)

    def stage(channels: int, out: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(channels, out, 3, stride=2, padding=1), nn.BatchNorm2d(out), nn.ReLU())

    net = nn.Sequential()
    net.add_module("fine", stage(3, 4))
    net.add_module("middle", stage(4, 6))
    net.add_module("coarse", stage(6, 8))
    net.add_module("head", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)))
    return rb.split_backbone(net.eval(), images, name="staged")


def unit(maps: torch.Tensor, side: int) -> torch.Tensor:
    units = [(m - m.min()) / (m.max() - m.min()) if m.max() > m.min() else 0 * m for m in maps.clamp(min=0)]
    return F.interpolate(torch.stack(units)[:, None], size=(side, side), mode="bilinear")[:, 0]


def test_the_stages_are_the_last_cut_of_each_resolution(staged):
    assert staged.stages() == ("fine", "middle", "coarse")
    assert [staged.at(layer).feature_shape for layer in staged.stages()] == [(4, 8, 8), (6, 4, 4), (8, 2, 2)]


@pytest.mark.parametrize("base", ["gradcam++", "layercam", "reciprocam"])
def test_refinecam_multiplies_the_maps_of_all_resolutions(staged, images, base):
    parts = [unit(rb.explain(staged.at(layer), images, CLASSES, base), 8) for layer in ("fine", "middle", "coarse")]
    maps = rb.explain(staged, images, CLASSES, "refinecam", base=base)
    torch.testing.assert_close(maps, parts[0] * parts[1] * parts[2], rtol=1e-4, atol=1e-6)
    assert maps.max() > 0


def test_layers_are_those_that_are_named(staged, images):
    parts = [unit(rb.explain(staged.at(layer), images, CLASSES, "layercam"), 4) for layer in ("middle", "coarse")]
    maps = rb.explain(staged, images, CLASSES, "refinecam", base="layercam", layers=["coarse", "middle"])
    torch.testing.assert_close(maps, parts[0] * parts[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("fuse", ["mean", "product", "max"])
@pytest.mark.parametrize("mask", ["one-hot", "gaussian"])
def test_the_fused_reciprocam_is_the_fusion_of_its_layers(staged, images, fuse, mask):
    a, b = (
        unit(rb.explain(staged.at(layer), images, CLASSES, "reciprocam", mask=mask), 4)
        for layer in ("middle", "coarse")  # the two coarsest
    )
    expected = {"mean": (a + b) / 2, "product": a * b, "max": torch.maximum(a, b)}[fuse]
    maps = rb.explain(staged, images, CLASSES, "fusedreciprocam", fuse=fuse, mask=mask)
    torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-6)


def test_the_other_layers_keep_budget_and_sigmoids(staged, images):
    changed = dataclasses.replace(staged, multi_label=True, memory_budget=7)
    there = changed.at("middle")
    assert (there.multi_label, there.memory_budget, there.weights) == (True, 7, staged.weights)
    one = rb.explain(changed, images, CLASSES, "fusedreciprocam")
    assert (one - rb.explain(staged, images, CLASSES, "fusedreciprocam")).abs().max() > 1e-4


@pytest.mark.parametrize("method", ["refinecam", "fusedreciprocam"])
@pytest.mark.parametrize(
    ("layers", "words"),
    [([], "the list is empty"), (["midle"], "did you mean 'middle'"), (["head"], "head")],
)
def test_layers_that_cannot_be_fused_are_named_before_work_begins(staged, images, method, layers, words):
    with pytest.raises(rb.UserError, match=words):
        make_method(method, {"layers": layers}, "t", staged)


@pytest.mark.parametrize("base", [name for name, spec in EXPLAINERS.all().items() if spec.fuses_layers])
def test_refinecam_refuses_a_base_that_fuses_itself(staged, images, base):
    with pytest.raises(rb.UserError, match=f"base '{base}' fuses layers itself"):
        rb.explain(staged, images, method="refinecam", base=base)


def test_a_head_of_ones_own_cannot_be_fused(staged, images):
    from reciprocam_bench.backbones.fitted_head import with_linear_head

    fitted = with_linear_head(staged, torch.randn(3, 8), torch.zeros(3))
    with pytest.raises(rb.UserError, match="can be cut at 'coarse' only"):
        rb.explain(fitted, images, method="refinecam")
