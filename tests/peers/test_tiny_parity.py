"""The same numbers as torch-cam and pytorch-grad-cam, whose code shares nothing with ours."""

import numpy as np
import pytest
import torch
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.explainers.forward_pass import forward_pass
from reciprocam_bench.explainers.registry import make_method

pytestmark = pytest.mark.slow

CLASSES = [4, 0, 2]


def ours(net: nn.Module, images: torch.Tensor, method: str, layer: str = "auto", **options) -> torch.Tensor:
    backbone = rb.split_backbone(net, images, layer)
    return make_method(method, options, method, backbone)(forward_pass(backbone, images, torch.tensor(CLASSES)))


def torchcams(name: str, net: nn.Module, images: torch.Tensor, layer: str, **options) -> torch.Tensor:
    """torch-cam's maps before its normalisation, ``(N, h, w)``."""
    methods = pytest.importorskip("torchcam.methods")
    with getattr(methods, name)(net, layer, **options) as extractor:
        scores = net(images)
        (maps,) = extractor(class_idx=CLASSES, scores=scores, normalized=False)
    return maps.detach()


def gradcams(name: str, net: nn.Module, images: torch.Tensor, layer: nn.Module) -> np.ndarray:
    """pytorch-grad-cam's maps at image size, in [0, 1]."""
    cams = pytest.importorskip("pytorch_grad_cam")
    targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    with getattr(cams, name)(model=net, target_layers=[layer]) as extractor:
        return extractor(input_tensor=images, targets=[targets.ClassifierOutputTarget(c) for c in CLASSES])


def as_grad_cam_shows_them(maps: torch.Tensor, images: torch.Tensor) -> np.ndarray:
    """Raw maps scaled and resized by pytorch-grad-cam's own helper."""
    image = pytest.importorskip("pytorch_grad_cam.utils.image")
    return image.scale_cam_image(image.scale_cam_image(maps.numpy(), images.shape[:1:-1]))


@pytest.fixture
def sharp(images) -> torch.Tensor:
    """Images strong enough for masks to change the answers."""
    return 10 * images


@pytest.fixture
def deep() -> nn.Module:
    """Two stages and a head that is not linear, so that a layer in the middle can be asked about."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.ReLU()),
        nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(), nn.Linear(128, 9), nn.ReLU(), nn.Linear(9, 5),
    ).eval()  # fmt: skip


def test_cam_is_torch_cams(tiny_net, images):
    theirs = torchcams("CAM", tiny_net, images, "stem", fc_layer="fc")
    torch.testing.assert_close(ours(tiny_net, images, "cam"), theirs, rtol=1e-4, atol=1e-5)


def test_gradcam_is_torch_cams(tiny_net, images):
    theirs = torchcams("GradCAM", tiny_net, images, "stem")
    torch.testing.assert_close(ours(tiny_net, images, "gradcam"), theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("layer", ["0", "1"])
def test_gradcam_is_torch_cams_behind_a_head_that_is_not_linear(deep, images, layer):
    theirs = torchcams("GradCAM", deep, images, layer)
    assert theirs.max() > 0
    torch.testing.assert_close(ours(deep, images, "gradcam", layer), theirs, rtol=1e-4, atol=1e-6)


def test_gradcam_is_pytorch_grad_cams(tiny_net, images):
    theirs = gradcams("GradCAM", tiny_net, images, tiny_net.stem)
    # Its 1e-7 beside the maximum of maps of about 0.1 leaves 1e-6.
    np.testing.assert_allclose(as_grad_cam_shows_them(ours(tiny_net, images, "gradcam"), images), theirs, atol=1e-5)


def test_gradcam_is_pytorch_grad_cams_behind_a_head_that_is_not_linear(deep, images):
    theirs = gradcams("GradCAM", deep, images, deep[0])
    np.testing.assert_allclose(as_grad_cam_shows_them(ours(deep, images, "gradcam", "0"), images), theirs, atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 32])
def test_scorecam_is_torch_cams(tiny_net, sharp, batch_size):
    theirs = torchcams("ScoreCAM", tiny_net, sharp, "stem", batch_size=batch_size)
    maps = ours(tiny_net, sharp, "scorecam", variant="torch-cam")
    # Its 1e-8 in the min-max and our folded batch norm are both far below 1e-5 of the largest value.
    torch.testing.assert_close(maps, theirs, rtol=1e-4, atol=1e-5 * theirs.max().item())
    paper = ours(tiny_net, sharp, "scorecam", variant="paper")
    assert (paper / paper.max() - theirs / theirs.max()).abs().max() > 1e-2, "the variants cannot be told apart"


def test_scorecam_is_torch_cams_in_the_middle_of_a_net(deep, sharp):
    theirs = torchcams("ScoreCAM", deep, sharp, "0")
    maps = ours(deep, sharp, "scorecam", "0", variant="torch-cam")
    torch.testing.assert_close(maps, theirs, rtol=1e-4, atol=1e-5 * theirs.max().item())


def test_scorecam_is_torch_cams_with_dead_channels(tiny_net, sharp):
    with torch.no_grad():
        tiny_net.stem[1].weight[:3] = 0
        tiny_net.stem[1].bias[:3] = -1
    theirs = torchcams("ScoreCAM", tiny_net, sharp, "stem")
    maps = ours(tiny_net, sharp, "scorecam", variant="torch-cam")
    torch.testing.assert_close(maps, theirs, rtol=1e-4, atol=1e-5 * theirs.max().item())


@pytest.mark.parametrize("dead", [0, 3])
def test_scorecam_is_pytorch_grad_cams(tiny_net, sharp, dead):
    with torch.no_grad():
        tiny_net.stem[1].weight[:dead] = 0
        tiny_net.stem[1].bias[:dead] = -1
    theirs = gradcams("ScoreCAM", tiny_net, sharp, tiny_net.stem)
    shown = as_grad_cam_shows_them(ours(tiny_net, sharp, "scorecam", variant="grad-cam"), sharp)
    # Both are in [0, 1]; the epsilons of its two scalings leave about 1e-6.
    np.testing.assert_allclose(shown, theirs, atol=1e-5)
    other = as_grad_cam_shows_them(ours(tiny_net, sharp, "scorecam", variant="torch-cam"), sharp)
    assert np.abs(other - theirs).max() > 1e-3, "the variants cannot be told apart"
