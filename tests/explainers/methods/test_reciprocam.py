"""Recipro-CAM: the three paths to the same numbers."""

import dataclasses
import math

import pytest
import torch
import torchvision
from small_networks import vgg11
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.explainers.closed_form import closed_form_or_head
from reciprocam_bench.explainers.forward_pass import ForwardPass, forward_pass
from reciprocam_bench.explainers.methods.reciprocam import (
    batched_head,
    closed_form,
    reciprocam,
    reciprocam_class_maps,
    reference,
)
from reciprocam_bench.explainers.registry import make_method

pytestmark = pytest.mark.slow

MASKS, SCORES = ["one-hot", "gaussian"], ["softmax", "logit"]
NETWORKS = ["resnet18", "densenet121", "resnext50_32x4d", "vgg11"]


@pytest.fixture(scope="module", params=NETWORKS)
def deep(request) -> ForwardPass:
    """A real architecture on 3x3 maps (a corner, an edge and an inside) of the size a trained net has."""
    torch.manual_seed(0)
    made = torchvision.models.get_model
    net = vgg11(10) if request.param == "vgg11" else made(request.param, weights=None, num_classes=10)
    images = torch.randn(2, 3, 96, 96)
    fp = forward_pass(rb.split_backbone(net, images, name=request.param), images, torch.tensor([7, 3]))
    return dataclasses.replace(fp, features=3 * torch.rand_like(fp.features))


@pytest.fixture
def nonlinear(images) -> rb.Backbone:
    """A head where the position matters: VGG's kind, over 4x4 maps."""
    torch.manual_seed(0)
    head = [nn.Flatten(), nn.Linear(96, 7), nn.ReLU(), nn.Linear(7, 5)]
    return rb.split_backbone(nn.Sequential(nn.Conv2d(3, 6, 4, stride=4), nn.ReLU(), *head).eval(), images)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("mask", MASKS)
def test_the_paths_agree_on_real_architectures(deep, mask, score):
    expected = reciprocam(deep, mask=mask, score=score, path="reference")
    assert expected.std() > 1e-6
    paths = ["batched-head", "auto"] + (["closed-form"] if deep.backbone.linear else [])
    assert len(paths) == (2 if deep.backbone.name == "vgg11" else 3)
    for path in paths:
        maps = reciprocam(deep, mask=mask, score=score, path=path)
        torch.testing.assert_close(maps, expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize("path", ["closed-form", "batched-head", "reference"])
def test_recipro_cam_by_hand(path):
    """One channel [[1,2],[3,4]], weights 4 and 0, bias 0 and 1: logits a cell are (value, 1)."""
    net = nn.Sequential(nn.Conv2d(3, 1, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2))
    net[0].weight.data = torch.tensor([1.0, 0.0, 0.0])[None, :, None, None]
    net[3].weight.data, net[3].bias.data = torch.tensor([[4.0], [0.0]]), torch.tensor([0.0, 1.0])
    image = torch.zeros(1, 3, 2, 2)
    image[0, 0] = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    fp = forward_pass(rb.split_backbone(net, image), image, torch.tensor([0]))

    logits = reciprocam(fp, score="logit", path=path)
    torch.testing.assert_close(logits, torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
    blurred = reciprocam(fp, score="logit", mask="gaussian", path=path)  # every cell is a corner
    torch.testing.assert_close(blurred, torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]) * 9 / 16)
    probabilities = [[1 / (1 + math.exp(1 - value)) for value in row] for row in ([1, 2], [3, 4])]
    torch.testing.assert_close(reciprocam(fp, path=path), torch.tensor([probabilities]))
    every = reciprocam_class_maps(fp, path=path)
    torch.testing.assert_close(every[0, 1], 1 - torch.tensor(probabilities))


@pytest.mark.parametrize("mask", MASKS)
def test_the_paths_agree_behind_a_head_that_minds_the_position(nonlinear, images, mask):
    fp = forward_pass(nonlinear, images)
    torch.testing.assert_close(batched_head(fp, mask), reference(fp, mask), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(reference(fp, "one-hot"), reference(fp, "gaussian"), atol=1e-3)


@pytest.mark.parametrize("mask", MASKS)
def test_the_closed_form_holds_on_maps_that_are_not_square(tiny, mask):
    fp = forward_pass(tiny, torch.randn(2, 3, 24, 12))
    assert fp.features.shape[2:] == (6, 3)
    torch.testing.assert_close(closed_form(fp, mask), reference(fp, mask), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(batched_head(fp, mask), reference(fp, mask), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("path", ["closed-form", "batched-head", "reference"])
@pytest.mark.parametrize("score", SCORES)
def test_the_maps_of_all_classes_are_the_maps_of_each(tiny, images, score, path):
    options = {"mask": "gaussian", "score": score, "path": path}
    every = reciprocam_class_maps(forward_pass(tiny, images), **options)
    assert every.shape == (3, 5, 4, 4)
    for c in range(5):
        single = reciprocam(forward_pass(tiny, images, torch.tensor([c] * 3)), **options)
        torch.testing.assert_close(every[:, c], single, rtol=0, atol=0)


@pytest.mark.parametrize("mask", MASKS)
def test_the_paths_agree_to_double_precision(tiny_net, images, mask):
    backbone = rb.split_backbone(tiny_net.double(), images.double())
    fp = forward_pass(backbone, images.double())
    expected = reference(fp, mask)
    assert expected.dtype == torch.float64
    for path in (closed_form, batched_head):
        torch.testing.assert_close(path(fp, mask), expected, rtol=1e-12, atol=1e-12)


def test_softmax_maps_of_all_classes_sum_to_one_everywhere(tiny, images):
    torch.testing.assert_close(reciprocam_class_maps(forward_pass(tiny, images)).sum(1), torch.ones(3, 4, 4))


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("rows", [1, 5, 16, 47, 48])
def test_the_chunk_size_changes_nothing(nonlinear, images, mask, rows):
    row_bytes = 4 * 6 * 4 * 4 * 4
    whole = reciprocam(forward_pass(nonlinear, images), mask=mask, path="batched-head")
    small = dataclasses.replace(nonlinear, memory_budget=rows * row_bytes)
    chunked = reciprocam(forward_pass(small, images), mask=mask, path="batched-head")
    torch.testing.assert_close(chunked, whole, rtol=1e-5, atol=1e-6)


def test_auto_takes_the_closed_form_only_where_it_holds(tiny, nonlinear):
    assert closed_form_or_head(tiny, {}) == "closed-form"
    assert closed_form_or_head(nonlinear, {}) == "batched-head"
    assert closed_form_or_head(tiny, {"path": "reference"}) == "reference"
    assert make_method("reciprocam", {}, "t").spec.implementation(tiny, {"path": "batched-head"}) == "batched-head"


def test_the_closed_form_is_refused_where_there_is_none(nonlinear, images):
    words = r"custom split at '1' has no pooled linear head.*set path to auto or batched-head"
    with pytest.raises(rb.UserError, match=words):
        make_method("reciprocam", {"path": "closed-form"}, "t", nonlinear)
    with pytest.raises(rb.UserError, match=words):
        reciprocam(forward_pass(nonlinear, images), path="closed-form")


def test_the_closed_form_never_runs_the_head(tiny, images):
    fp = forward_pass(tiny, images)
    headless = dataclasses.replace(fp, backbone=dataclasses.replace(tiny, head=nn.Identity()))
    torch.testing.assert_close(reciprocam(headless), reciprocam(fp, path="reference"))


def test_one_hot_logits_on_a_pooled_linear_head_are_cam_up_to_an_affine_map(tiny, images):
    fp = forward_pass(tiny, images)
    expected = rb.explain(tiny, images, method="cam") / 16 + tiny.linear.bias[fp.classes][:, None, None]
    torch.testing.assert_close(reciprocam(fp, score="logit", path="reference"), expected)
