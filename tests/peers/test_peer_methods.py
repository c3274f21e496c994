"""Classes of torch-cam, pytorch-grad-cam and captum run as methods: ``torchcam:ScoreCAM``."""

import csv
import sys
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.cli import main
from reciprocam_bench.explainers.forward_pass import forward_pass
from reciprocam_bench.explainers.registry import EXPLAINERS, make_method
from reciprocam_bench.peers.libraries import LIBRARIES
from reciprocam_bench.peers.methods import PeerError

pytestmark = pytest.mark.slow

CLASSES = torch.tensor([4, 0, 2])
# What has no default, and fewer repetitions than the defaults.
OPTIONS: dict[str, dict] = {
    "captum:DeepLiftShap": {"baselines": 0},
    "captum:FeatureAblation": {"feature_mask": 4},
    "captum:GradientShap": {"baselines": 0},
    "captum:KernelShap": {"feature_mask": 2},
    "captum:LayerDeepLiftShap": {"baselines": 0},
    "captum:LayerFeatureAblation": {"layer_mask": 4},
    "captum:LayerGradientShap": {"baselines": 0},
    "captum:Lime": {"feature_mask": 2},
    "captum:NoiseTunnel": {"attribution_method": "Saliency", "nt_samples": 2},
    "captum:Occlusion": {"sliding_window_shapes": [3, 4, 4], "strides": [3, 4, 4]},
    "captum:ShapleyValueSampling": {"feature_mask": 2, "n_samples": 2},
    "captum:ShapleyValues": {"feature_mask": 2},
    "gradcam:SESS": {"num_scales": 2},
    "torchcam:ISCAM": {"num_samples": 2},
    "torchcam:SSCAM": {"num_samples": 1},
}
PEERS = {name: spec for name, spec in EXPLAINERS.available().items() if ":" in name}
# A net this small has not the several layers that the others need.
METHODS = sorted(name for name, spec in PEERS.items() if not spec.fuses_layers)


@pytest.fixture
def fp(tiny: rb.Backbone, images: torch.Tensor):
    """A pass of the tiny net on images strong enough for masks to change the answers."""
    return forward_pass(tiny, 10 * images, CLASSES)


@pytest.fixture
def captum() -> None:
    pytest.importorskip("captum")


@pytest.fixture
def torchcam() -> None:
    pytest.importorskip("torchcam")


@pytest.fixture
def gradcam() -> None:
    pytest.importorskip("pytorch_grad_cam")


def state(backbone: rb.Backbone) -> list[tuple]:
    """All that a library could leave behind in a backbone."""
    modules = [(n, m) for half in (backbone.features, backbone.head) for n, m in half.named_modules()]
    hooks = [(n, id(m), m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for n, m in modules]
    weights = [
        (id(p), p.requires_grad, p.grad is None, float(p.sum()))
        for half in (backbone.features, backbone.head)
        for p in half.parameters()
    ]
    return [*hooks, *weights]


@pytest.mark.parametrize("name", METHODS)
def test_every_class_gives_maps_and_leaves_nothing_behind(fp, name, capfd):
    before, mode = state(fp.backbone), torch.is_grad_enabled()
    images, features = fp.images.clone(), fp.features.clone()
    method = make_method(name, OPTIONS.get(name, {}), name, fp.backbone)
    maps = method(fp)
    assert maps.shape in [(3, 4, 4), (3, 16, 16)] and maps.dtype == torch.float32
    assert maps.isfinite().all() and not maps.requires_grad
    assert torch.equal(method(fp), maps), "the same call gives another map"
    assert state(fp.backbone) == before and torch.is_grad_enabled() == mode
    assert torch.equal(fp.images, images) and torch.equal(fp.features, features)
    assert capfd.readouterr() == ("", ""), "a bar or a warning reached the terminal"
    assert method.forwards(fp.backbone) >= 1
    assert method.spec.implementation(fp.backbone, {}).split()[0] in ("torchcam", "grad-cam", "captum")


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_every_class_runs_in_a_callers_mode(tiny, images, name, mode):
    with mode():
        inside = forward_pass(tiny, 10 * images, CLASSES)
        method = make_method(name, OPTIONS.get(name, {}), name, tiny)
        maps = method(inside)
    outside = method(forward_pass(tiny, 10 * images, CLASSES))
    torch.testing.assert_close(maps.clone(), outside, rtol=1e-4, atol=1e-5 * float(outside.abs().max()))


@pytest.mark.parametrize("name", [n for n in METHODS if not PEERS[n].random])
def test_each_image_is_explained_for_its_own_class(tiny, images, name):
    method = make_method(name, OPTIONS.get(name, {}), name, tiny)
    same = 10 * images[:1].expand(3, -1, -1, -1)
    together = method(forward_pass(tiny, same, CLASSES))
    for n, c in enumerate(CLASSES):
        alone = method(forward_pass(tiny, same[:1], c[None]))[0]
        torch.testing.assert_close(together[n], alone, rtol=1e-3, atol=1e-4 * float(alone.abs().max()))
    assert ((together[0] - together[1]).abs().max() == 0) == PEERS[name].class_blind


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("torchcam:FinerCAM", {"base_method": "LayerCam"}, "has no method 'LayerCam'; did you mean 'LayerCAM'?"),
        ("torchcam:FinerCAM", {"base_method": "XGradCAM"}, "TypeError: base_method must be GradCAM, GradCAMpp"),
        ("torchcam:FinerCAM", {"gamma": -1.0}, "cannot explain custom: ValueError: gamma must be finite"),
        ("captum:NoiseTunnel", {"attribution_method": "Salience"}, "did you mean 'Saliency'?"),
        ("captum:NoiseTunnel", {"attribution_method": "Occlusion"}, "needs 'sliding_window_shapes', which it cannot"),
    ],
)
def test_what_a_constructor_rejects_is_told_before_a_run(tiny, name, options, words):
    pytest.importorskip(LIBRARIES[name.partition(":")[0]].module)
    with pytest.raises(rb.UserError) as error:
        make_method(name, options, name, tiny)
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["torchcam:GradCAM", "torchcam:ScoreCAM", "gradcam:GradCAM", "captum:LayerGradCam"])
def test_a_failure_names_the_class_and_leaves_the_network_as_it_was(fp, name, monkeypatch):
    pytest.importorskip(LIBRARIES[name.partition(":")[0]].module)
    method = make_method(name, {}, name, fp.backbone)
    good, before = method(fp), state(fp.backbone)
    with monkeypatch.context() as patch:
        patch.setattr(nn.Linear, "forward", lambda self, x: 1 / 0)
        with pytest.raises(PeerError, match=rf"^{name}: ZeroDivisionError: division by zero$"):
            method(fp)
    assert state(fp.backbone) == before
    torch.testing.assert_close(method(fp), good)


def test_options_reach_constructor_and_call(fp, captum, torchcam, gradcam):
    signed = make_method("captum:LayerGradCam", {}, "t")(fp)
    assert signed.min() < 0
    torch.testing.assert_close(make_method("captum:LayerGradCam", {"relu_attributions": True}, "t")(fp), signed.relu())
    finer = [make_method("torchcam:FinerCAM", {"gamma": g}, "t")(fp) for g in (0.0, 0.6)]
    torch.testing.assert_close(finer[0], make_method("torchcam:GradCAM", {}, "t")(fp))
    assert (finer[0] - finer[1]).abs().max() > 0
    layer = make_method("torchcam:FinerCAM", {"gamma": 0.0, "base_method": "LayerCAM"}, "t")(fp)
    torch.testing.assert_close(layer, make_method("torchcam:LayerCAM", {}, "t")(fp))
    plain, smooth = (make_method("gradcam:LayerCAM", {"eigen_smooth": e}, "t")(fp) for e in (False, True))
    assert (plain - smooth).abs().max() > 0


def test_a_mask_is_a_grid_of_squares(fp, captum):
    maps = make_method("captum:FeatureAblation", {"feature_mask": 4}, "t")(fp)
    squares = maps.unfold(1, 4, 4).unfold(2, 4, 4)
    torch.testing.assert_close(squares, squares[..., :1, :1].expand_as(squares))
    assert len(maps[0].unique()) > 4


def test_forwards_are_those_of_the_class(tiny, captum, torchcam):
    def cost(name: str, **options) -> float:
        return make_method(name, options, name).forwards(tiny)

    assert cost("torchcam:ScoreCAM") == 8
    assert cost("torchcam:SSCAM", num_samples=3) == 24
    assert cost("torchcam:GradCAM") == 2
    assert cost("captum:IntegratedGradients", n_steps=5) == 6
    assert cost("captum:FeatureAblation", feature_mask=3) == 10
    assert cost("captum:Lime", feature_mask=3, n_samples=7) == 8


def test_a_model_that_cannot_be_copied_is_explained_or_refused_in_one_line(images):
    lock = threading.Lock()

    def model(x):
        with lock:
            return x.mean((2, 3)) @ torch.ones(3, 5)

    backbone = rb.split_backbone(model, images, "image")
    assert rb.explain(backbone, images, 0, "captum:Saliency").shape == (3, 16, 16)


def test_layers_of_a_channels_last_network_are_refused_before_work_begins():
    backbone = rb.load_backbone("timm/test_vit", weights="none")
    for name in ("torchcam:GradCAM", "gradcam:GradCAM"):
        with pytest.raises(rb.UserError, match="keeps its positions as tokens or channels last"):
            make_method(name, {"layers": ["blocks.0"]}, "t", backbone)


@pytest.fixture(scope="module")
def transformer() -> rb.Backbone:
    torch.manual_seed(0)
    return rb.load_backbone("timm/test_vit", weights="none")


@pytest.mark.parametrize(
    "name",
    [
        "torchcam:GradCAM",
        "torchcam:ScoreCAM",
        "gradcam:EigenCAM",
        "gradcam:LayerCAM",
        "captum:LayerGradCam",
        "captum:LayerFeatureAblation",
        "captum:LayerIntegratedGradients",
    ],
)
def test_a_transformer_is_explained_at_its_patches(transformer, name):
    pytest.importorskip(LIBRARIES[name.partition(":")[0]].module)
    fp = forward_pass(transformer, torch.randn(2, 3, 160, 160))
    assert fp.context is not None
    maps = make_method(name, OPTIONS.get(name, {}), name, transformer)(fp)
    assert maps.isfinite().all() and maps.shape[0] == 2


def test_a_class_that_replaces_a_transformers_layer_says_so(transformer, gradcam):
    name = "gradcam:AblationCAM"
    fp = forward_pass(transformer, torch.randn(1, 3, 160, 160))
    with pytest.raises(
        rb.UserError, match=f"^method '{name}': this class runs the head on maps of its own, .*; leave the method"
    ):
        make_method(name, {}, name, transformer)(fp)


def test_several_layers_are_found_in_a_folded_network(torchcam, gradcam):
    torch.manual_seed(0)
    backbone = rb.load_backbone("torchvision/resnet18", weights="none")
    fp = forward_pass(backbone, torch.randn(1, 3, 64, 64))
    for layer in ("layer3", "layer4"):
        theirs = make_method("torchcam:GradCAM", {"layers": [layer]}, "t", backbone)(fp)
        ours = make_method("gradcam", {}, "t")(fp.at(layer))
        torch.testing.assert_close(theirs, ours, rtol=1e-3, atol=1e-4 * float(ours.max()))
    fused = make_method("torchcam:GradCAM", {"layers": ["layer3", "layer4"]}, "t", backbone)(fp)
    assert fused.shape == (1, 4, 4)
    with pytest.raises(rb.UserError, match="layer 'layer9' is not in the network"):
        make_method("torchcam:GradCAM", {"layers": ["layer9"]}, "t", backbone)
    with pytest.raises(rb.UserError, match="base CAM does not support multiple target layers"):
        make_method("torchcam:CAM", {"layers": ["layer3", "layer4"]}, "t", backbone)


def test_a_run_judges_and_times_them_beside_ours(tmp_path, monkeypatch, capfd, torchcam, gradcam, captum):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((60, 60)).save(tmp_path / "pictures" / f"{i}.png")
    (tmp_path / "peers.yaml").write_text(
        "backbone: {model: timm/test_resnet, weights: none}\n"
        "dataset: {name: folder, root: pictures}\n"
        'methods: [gradcam, torchcam:GradCAM, {name: "gradcam:GradCAM", eigen_smooth: true}, captum:LRP]\n'
        "metrics: [average_drop, coherency]\n"
        "timing: {repeats: 2, warmup: 0, relative_to: gradcam, methods: [gradcam, torchcam:GradCAM]}\n"
        "device: cpu\nmaps: 1\n"
    )
    monkeypatch.setattr(sys, "argv", ["rcam-bench", "run", "-c", "peers.yaml", "-o", "run", "--quiet"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0, capfd.readouterr().err
    rows = list(csv.DictReader((tmp_path / "run/per_image.csv").open()))
    status = {row["method"]: row["status"] for row in rows}
    titles = ["gradcam", "torchcam:GradCAM", "gradcam:GradCAM[eigen_smooth=True]"]
    assert [status.pop(title) for title in titles] == ["ok"] * 3
    assert status["captum:LRP"].startswith("error: PeerError: captum:LRP: ")
    drop = {row["method"]: float(row["average_drop"]) for row in rows if row["status"] == "ok"}
    assert drop["torchcam:GradCAM"] == pytest.approx(drop["gradcam"], abs=1e-4)
    times = list(csv.DictReader((tmp_path / "run/timing.csv").open()))
    assert {row["implementation"] for row in times} == {"", LIBRARIES["torchcam"].version}
