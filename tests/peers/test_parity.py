"""Our methods beside the same methods of torch-cam, pytorch-grad-cam and captum: real weights, real images.

Both sides run through the same loop, the peers as the methods ``torchcam:...``, ``gradcam:...``, ``captum:...``. Maps
are compared in [0, 1]. Where the numbers differ, the test says why, and they agree with that one thing changed.
Peers read: torch-cam 0.5.0, pytorch-grad-cam 1.5.7, captum 0.9.0.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import reciprocam_bench as rb
from reciprocam_bench.datasets.images import preparation, read_picture
from reciprocam_bench.explainers.forward_pass import ForwardPass, forward_pass, head_gradients
from reciprocam_bench.explainers.methods.fullgrad import full_gradients
from reciprocam_bench.explainers.methods.liftcam import contributions
from reciprocam_bench.explainers.registry import make_method
from reciprocam_bench.protocols.protocol import load_protocol

pytestmark = pytest.mark.slow

for module in ("torchcam", "pytorch_grad_cam", "captum"):
    pytest.importorskip(module)

MODELS = ["torchvision/resnet18", "torchvision/mobilenet_v2"]
LAYERS = {
    "torchvision/resnet18": ["layer2", "layer3", "layer4"],
    "torchvision/mobilenet_v2": ["features.6", "features.13", "features"],
}


@pytest.fixture(scope="module", params=MODELS)
def backbone(request, weights_dir: Path) -> rb.Backbone:
    if not list((weights_dir).rglob(f"{request.param.rpartition('/')[2]}.*")):
        pytest.skip(f"no weights of {request.param}")
    return rb.load_backbone(request.param, device="cpu")


@pytest.fixture(scope="module")
def fp(backbone: rb.Backbone, data: Path) -> ForwardPass:
    """Two photographs of 224 pixels, explained for the first and for the second likeliest class."""
    files = [f for _, f in zip(range(40), sorted((data / "imagenet").glob("*/*.JPEG")), strict=False)][::20]
    prepare = preparation(load_protocol("poppi-2021").preprocess, backbone.preprocessing, False)
    images = torch.stack([prepare.tensor(prepare.picture(read_picture(str(f)))) for f in files])
    ranked = forward_pass(backbone, images).logits.topk(2).indices
    return forward_pass(backbone, images, torch.stack([ranked[0, 0], ranked[1, 1]]))


@pytest.fixture(scope="module")
def small(fp: ForwardPass) -> ForwardPass:
    """The first photograph at 80 pixels and a layer of few channels, for methods with a forward pass a channel."""
    images = F.interpolate(fp.images[:1], size=(80, 80), mode="bilinear", antialias=True)
    return forward_pass(fp.backbone, images).at(LAYERS[fp.backbone.name][0])


def run(fp: ForwardPass, name: str, **options) -> Tensor:
    return make_method(name, options, name, fp.backbone)(fp)


def unit(maps: Tensor) -> Tensor:
    """Each map scaled to [0, 1]."""
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    assert (high > low).all(), "a constant map agrees with every other"
    return (maps - low) / (high - low)


def difference(ours: Tensor, theirs: Tensor) -> float:
    return float((unit(ours) - unit(theirs)).abs().max())


def shown(maps: Tensor, fp: ForwardPass) -> Tensor:
    """Raw maps as pytorch-grad-cam shows its own: ReLU, min-max, OpenCV's resize to image size, min-max."""
    from pytorch_grad_cam.utils.image import scale_cam_image

    width_and_height = tuple(fp.images.shape[:1:-1])
    return torch.from_numpy(scale_cam_image(scale_cam_image(maps.relu().numpy(), width_and_height)))


def weighted(fp: ForwardPass, weights: Tensor) -> Tensor:
    return torch.einsum("nchw,nc->nhw", fp.features, weights).relu()


# --- the same numbers ---


@pytest.mark.parametrize(
    ("ours", "options", "theirs", "their_options"),
    [
        ("cam", {}, "torchcam:CAM", {}),
        ("gradcam", {}, "torchcam:GradCAM", {}),
        ("xgradcam", {}, "torchcam:XGradCAM", {}),
        ("layercam", {}, "torchcam:LayerCAM", {}),
        ("finercam", {}, "torchcam:FinerCAM", {}),
        ("finercam", {"base": "layercam"}, "torchcam:FinerCAM", {"base_method": "LayerCAM"}),
        ("gradcam", {}, "captum:LayerGradCam", {"relu_attributions": True}),
    ],
)
def test_the_same_map_at_feature_size(fp, ours, options, theirs, their_options):
    # float32 sums in another order; measured 0 to 5e-7
    assert difference(run(fp, ours, **options), run(fp, theirs, **their_options)) < 5e-6


def test_hirescam_is_captums_gradient_times_activation(fp):
    # captum keeps the sign; HiResCAM takes the ReLU of the sum. Measured: 0.
    theirs = run(fp, "captum:LayerGradientXActivation").relu()
    assert difference(run(fp, "hirescam"), theirs) < 5e-6


@pytest.mark.parametrize(
    ("ours", "options", "theirs"),
    [
        ("gradcam", {}, "GradCAM"),
        ("xgradcam", {}, "XGradCAM"),
        ("layercam", {}, "LayerCAM"),
        ("hirescam", {}, "HiResCAM"),
        ("gradcamelementwise", {}, "GradCAMElementWise"),
        ("eigencam", {"centred": True}, "EigenCAM"),
        ("eigengradcam", {"centred": True}, "EigenGradCAM"),
        ("shapleycam", {"utility": "logit"}, "ShapleyCAM"),
        ("ablationcam", {}, "AblationCAM"),
    ],
)
def test_the_same_map_at_image_size(fp, ours, options, theirs):
    # Its 1e-7 beside maxima of 1e-2 to 1e2, and a loop over channels in ablation; measured 2e-7 to 5e-6
    maps = shown(run(fp, ours, **options), fp)
    assert (maps - run(fp, f"gradcam:{theirs}")).abs().max() < 2e-5


def test_scorecam_has_a_variant_for_each_library(small):
    # Measured 1e-7 and 2e-6; the variants differ from one another by far more.
    torch_cam = run(small, "scorecam", variant="torch-cam")
    assert difference(torch_cam, run(small, "torchcam:ScoreCAM")) < 5e-6
    theirs = run(small, "gradcam:ScoreCAM")
    assert (shown(run(small, "scorecam", variant="grad-cam"), small) - theirs).abs().max() < 2e-5
    assert (shown(torch_cam, small) - theirs).abs().max() > 1e-3


def test_refinecam_is_torch_cams(fp):
    layers = LAYERS[fp.backbone.name]
    for base, theirs in (("layercam", "LayerCAM"), ("gradcam", "GradCAM")):
        maps = run(fp, "refinecam", base=base, layers=layers)
        # Its 1e-8 in each min-max; measured 0 to 7e-7
        assert difference(maps, run(fp, "torchcam:RefineCAM", base_method=theirs, layers=layers)) < 1e-5


# --- other numbers, and why ---


def test_gradcampp_of_torch_cam_never_divides(fp):
    """``alpha[idx][mask].div_(...)`` divides a copy, so that its weights are ``sum g^2 ReLU(g)``."""
    theirs = run(fp, "torchcam:GradCAMpp")
    assert difference(run(fp, "gradcam++"), theirs) > 0.05  # measured 0.12 and 0.08
    g = head_gradients(fp)
    assert difference(weighted(fp, (g**2 * g.relu()).sum((2, 3))), theirs) < 5e-6


def test_gradcampp_of_grad_cam_adds_a_millionth_to_squares_of_that_size(fp):
    """Its 1e-6 in the denominator stands beside ``2 g^2``, which is 1e-6 to 1e-4 on a 7x7 map."""
    theirs = run(fp, "gradcam:GradCAMPlusPlus")
    apart = (shown(run(fp, "gradcam++"), fp) - theirs).abs().max()
    assert 1e-3 < apart < 0.03  # measured 0.011 and 0.008
    g = head_gradients(fp)
    alpha = g**2 / (2 * g**2 + fp.features.sum((2, 3), keepdim=True) * g**3 + 1e-6)
    maps = weighted(fp, (torch.where(g != 0, alpha, 0.0) * g.relu()).sum((2, 3)))
    assert (shown(maps, fp) - theirs).abs().max() < 2e-5


def test_smoothgradcampp_of_torch_cam_weighs_with_the_last_noisy_gradient(fp):
    """Its weights have the last sample's gradient where the paper has the mean, and lie on that sample's features.

    Its hooks stay on while it runs the noisy images, so that the image's own features are gone at the end. It also
    draws other noise, and adds 1e-8.
    """
    theirs = run(fp, "torchcam:SmoothGradCAMpp", num_samples=3)
    assert difference(run(fp, "smoothgradcam++", samples=3), theirs) > 0.01
    with torch.random.fork_rng():
        torch.manual_seed(0)  # as every call of a peer begins
        noise = [torch.distributions.Normal(0.0, 0.3).sample(fp.images.size()) for _ in range(3)]
    noisy = [forward_pass(fp.backbone, fp.images + n, fp.classes) for n in noise]
    gradients = [head_gradients(sample) for sample in noisy]
    squares, cubes = (sum(g**p for g in gradients) / 3 for p in (2, 3))
    alpha = squares / (2 * squares + (fp.features * cubes).sum((2, 3), keepdim=True) + 1e-8)
    maps = weighted(noisy[-1], (alpha * gradients[-1].relu()).sum((2, 3)))
    assert difference(maps, theirs) < 1e-4


def test_without_noise_smoothgradcampp_is_torch_cams_but_for_its_epsilon(fp):
    theirs = run(fp, "torchcam:SmoothGradCAMpp", num_samples=1, std=1e-9)
    # Its 1e-8 beside 2 g^2 of 1e-6; measured 4e-4 and 3e-4
    assert difference(run(fp, "smoothgradcam++", samples=1, std=0.0), theirs) < 2e-3


def test_finercam_of_grad_cam_weighs_the_similar_classes_by_their_probability(fp):
    """Its target is ``sum_d p_d (y_c - a y_d) / sum_d p_d``, with p differentiated as well; ours takes the mean."""
    theirs = run(fp, "gradcam:FinerCAM")
    assert (shown(run(fp, "finercam", gamma=1.0), fp) - theirs).abs().max() > 0.1  # measured 1.0 and 0.3

    def target(logits: Tensor, classes: Tensor) -> Tensor:
        own = logits.gather(1, classes[:, None])
        others = (logits - own).abs().detach().argsort(1)[:, 1:4]
        p = logits.softmax(1).gather(1, others)
        return (p * (own - logits.gather(1, others))).sum(1) / (p.sum(1) + 1e-9)

    maps = run(replace(fp, score=target), "gradcam")
    assert (shown(maps, fp) - theirs).abs().max() < 1e-4


def test_refinecam_of_grad_cam_multiplies_at_image_size(fp):
    """It resizes each layer's map with OpenCV to image size and multiplies there; ours at the finest layer's size."""
    layers = LAYERS[fp.backbone.name]
    theirs = run(fp, "gradcam:RefineCAM", base_method="GradCAM", layers=layers)
    product = torch.stack([shown(run(fp.at(layer), "gradcam"), fp) for layer in layers]).prod(0)
    # Small differences of three factors, scaled up with the product
    assert difference(product, theirs) < 1e-4


def test_refinecam_of_grad_cam_has_the_epsilon_of_its_base_on_fine_layers(fp):
    """Its base is Grad-CAM++ with that 1e-6: on fine layers g^2 is far smaller, and the weights are g^3 instead."""
    layers = LAYERS[fp.backbone.name]
    theirs = run(fp, "gradcam:RefineCAM", layers=layers)
    each = [run(fp, "gradcam:GradCAMPlusPlus", layers=[layer]) for layer in layers]
    assert difference(torch.stack(each).prod(0), theirs) < 1e-4
    ours = torch.stack([shown(run(fp.at(layer), "gradcam++"), fp) for layer in layers]).prod(0)
    assert difference(ours, theirs) > 5e-3  # measured 0.011 and 0.99


def test_fullgrad_of_grad_cam_shrinks_faint_layers(fp):
    """Each channel is scaled by ``1e-7 + max``; many maxima are hardly above that, so these channels count for less."""
    from pytorch_grad_cam.utils.image import scale_accross_batch_and_channels, scale_cam_image

    one = fp.select(torch.tensor([0]), fp.classes[:1])
    theirs = run(one, "gradcam:FullGrad")
    assert difference(run(one, "fullgrad", rescale="channel"), theirs) < 5e-3  # measured 8e-4 and 4e-4
    size = tuple(one.images.shape[:1:-1])
    parts = [scale_accross_batch_and_channels(p.abs().numpy(), size).sum(1) for p in full_gradients(one)]
    assert (torch.from_numpy(scale_cam_image(np.sum(parts, axis=0))) - theirs).abs().max() < 1e-4


def test_deeplift_of_captum_starts_from_a_black_image(fp):
    """LIFT-CAM starts from features of 0 and weighs channels; captum's DeepLIFT starts from the features of an image of
    zeros and keeps every position. Behind a pooled linear head both are closed forms."""
    linear = fp.backbone.linear
    assert linear is not None
    h, w = fp.features.shape[2:]
    own = linear.weight[fp.classes]  # (N, C)
    with torch.no_grad():
        black = fp.backbone.features(torch.zeros_like(fp.images[:1]))
    theirs = run(fp, "captum:LayerDeepLift")
    expected = torch.einsum("nchw,nc->nhw", fp.features - black, own) / (h * w)
    assert difference(expected, theirs) < 1e-4
    torch.testing.assert_close(contributions(fp).sum((2, 3)), own * fp.features.mean((2, 3)), rtol=1e-3, atol=1e-4)
    assert difference(run(fp, "liftcam"), theirs.relu()) > 0.05  # measured 0.18 and 0.15


def test_iscam_of_torch_cam_adds_its_steps_up(small):
    """Its coefficient is ``+=``: 0.5 and 1.5 for two samples, so that masks exceed 1; our ``steps: accumulated``."""
    theirs = run(small, "torchcam:ISCAM", num_samples=2)
    even = run(small, "iscam", variant="torch-cam", samples=2)
    added = run(small, "iscam", variant="torch-cam", samples=2, steps="accumulated")
    assert difference(even, theirs) > 0.02  # measured 0.37 and 0.07
    assert difference(added, theirs) < 5e-5


def test_without_noise_sscam_is_torch_cams(small):
    """The noise of the two comes from other generators, so that only the rest can be compared."""
    theirs = run(small, "torchcam:SSCAM", num_samples=1, std=1e-9)
    assert difference(run(small, "sscam", variant="torch-cam", samples=1, std=0.0), theirs) < 1e-5


def test_ablation_of_grad_cam_puts_minus_ten_million_where_features_are_signed():
    """Only where the smallest of all values is exactly 0 does it ablate with 0; else with that minimum less 1e7."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3, stride=4, padding=1), nn.Flatten(), nn.Linear(96, 5))
    images = torch.randn(2, 3, 16, 16)
    fp = forward_pass(rb.split_backbone(net, images, "0"), images, torch.tensor([1, 3]))
    theirs = run(fp, "gradcam:AblationCAM")
    assert (shown(run(fp, "ablationcam"), fp) - theirs).abs().max() > 0.1
    y = fp.logits.gather(1, fp.classes[:, None])
    left = torch.empty(2, 6)
    for n in range(2):
        maps = fp.features[n].expand(6, -1, -1, -1).clone()
        for k in range(6):  # one after the other, each from the minimum that the last one left
            maps[k, k] = maps.min() - 1e7
        with torch.no_grad():
            left[n] = fp.backbone.head(maps)[:, fp.classes[n]]
    assert (shown(weighted(fp, (y - left) / y), fp) - theirs).abs().max() < 1e-4
