"""ONNX files as backbones: what they say, what explains them, and what is said of those that cannot be used."""

import copy
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from foreign_onnx import foreign, write
from PIL import Image
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.backbones.onnx_digest import digest_of, weight_files
from reciprocam_bench.cli import main
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import forward_pass

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("operators_once")]

NAMES = tuple("abcde")
WANTS = rb.Preprocessing((0.4, 0.5, 0.6), (0.3, 0.3, 0.3), 28, 24)


def network() -> rb.Backbone:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, stride=4, padding=1), nn.ReLU(), nn.Conv2d(6, 7, 3, padding=1), nn.ReLU()]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(7, 5))
    return rb.split_backbone(net, torch.randn(2, 3, 24, 24), preprocessing=WANTS, class_names=NAMES, name="net")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx")
    rb.export(network(), folder / "full.onnx", classes="input", features=True)
    rb.export(network(), folder / "predicted.onnx", "cam")
    rb.export(network(), folder / "some.onnx", classes=[4, 1])
    rb.export(network(), folder / "all.onnx", classes="all")
    return folder


def images(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 3, 24, 24, generator=torch.Generator().manual_seed(1))


def test_it_says_itself_what_it_is(files):
    backbone = rb.load_backbone(f"onnx:{files}/full.onnx")
    assert (backbone.name, backbone.layer, backbone.feature_shape) == ("onnx:full.onnx", "3", (7, 6, 6))
    assert (backbone.class_names, backbone.preprocessing, backbone.num_classes) == (NAMES, WANTS, 5)
    assert backbone.weights["source"] == "full.onnx" and len(backbone.weights["sha256"]) == 64
    torch.testing.assert_close(backbone(images()), network()(images()), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "method",
    [
        "exported",
        "reciprocam",
        "scorecam",
        "blackboxreciprocam[patch=8,stride=8]",
        "rise[samples=6,cells=3]",
        "eigencam",
    ],
)
def test_methods_without_gradients_give_the_maps_of_pytorch(files, method):
    backbone = rb.load_backbone(f"onnx:{files}/full.onnx")
    expected = rb.explain(network(), images(), [4, 0, 2], "reciprocam" if method == "exported" else method)
    torch.testing.assert_close(rb.explain(backbone, images(), [4, 0, 2], method), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["gradcam", "layercam", "smoothgradcam++", "fullgrad", "finercam", "opticam"])
def test_methods_with_gradients_say_why_not(files, method):
    backbone = rb.load_backbone(f"onnx:{files}/full.onnx")
    with pytest.raises(UserError, match=rf"method '{method[:5]}.*ONNX Runtime, which runs onnx:full.onnx, has no grad"):
        rb.explain(backbone, images(), method=method)


def test_other_libraries_say_why_not(files):
    pytest.importorskip("torchcam")
    with pytest.raises(UserError, match=r"other libraries look into PyTorch's modules, and onnx:full\.onnx has none"):
        rb.explain(rb.load_backbone(f"onnx:{files}/full.onnx"), images(), method="torchcam:ScoreCAM")


def test_at_the_image_it_is_only_called(files):
    backbone = rb.load_backbone(f"onnx:{files}/full.onnx", layer="image")
    assert (backbone.layer, backbone.split) == ("image", "call")
    with pytest.raises(UserError, match="take blackboxreciprocam"):
        rb.explain(backbone, images(), method="reciprocam")


def test_maps_of_some_classes(files):
    pytorch = network()
    every = rb.explain(pytorch, images(), "all")
    some, whole = (rb.load_backbone(f"onnx:{files}/{name}.onnx") for name in ("some", "all"))
    torch.testing.assert_close(rb.explain(some, images(), [1, 4, 1], "exported"), every[[0, 1, 2], [1, 4, 1]])
    torch.testing.assert_close(rb.explain(whole, images(), [1, 3, 0], "exported"), every[[0, 1, 2], [1, 3, 0]])
    with pytest.raises(ValueError, match="gives no map of class 3; export it with --classes input"):
        rb.explain(some, images(), 3, "exported")


def test_maps_of_the_predicted_class_alone(files):
    backbone = rb.load_backbone(f"onnx:{files}/predicted.onnx")
    predicted = forward_pass(network(), images()).classes
    expected = rb.explain(network(), images(), method="cam")
    torch.testing.assert_close(rb.explain(backbone, images(), method="exported"), expected)
    with pytest.raises(ValueError, match="gives maps of the predicted class alone"):
        rb.explain(backbone, images(), (predicted + 1) % 5, "exported")


def test_a_copy_runs_too(files):
    backbone = copy.deepcopy(rb.load_backbone(f"onnx:{files}/full.onnx"))
    torch.testing.assert_close(backbone(images()), network()(images()), rtol=0, atol=1e-5)


def test_other_networks_give_no_maps_of_their_own():
    with pytest.raises(UserError, match="method 'exported': net gives no maps of its own; write a file"):
        rb.explain(network(), images(), method="exported")


# Foreign files, made by hand.


def load(path: Path, **more: object) -> rb.Backbone:
    from reciprocam_bench.backbones.onnx_file import load_onnx

    given = {"preprocessing": {"mean": (0.5,) * 3, "std": (0.5,) * 3}} | more
    return load_onnx(f"onnx:{path}", **given)


@pytest.mark.parametrize("batch", ["N", 1, 2])
def test_a_foreign_file_is_called(tmp_path, batch):
    backbone = load(foreign(tmp_path / "foreign.onnx", batch))
    x = torch.randn(3, 3, 16, 16)
    pooled = x.relu().mean((2, 3))
    expected = torch.stack([pooled[:, 0] + pooled[:, 2], pooled[:, 1] - pooled[:, 2]], 1)
    torch.testing.assert_close(backbone(x), expected)
    assert (backbone.layer, backbone.preprocessing.crop) == ("image", 16)
    assert rb.explain(backbone, x, 0, "blackboxreciprocam", patch=4, stride=4).shape == (3, 4, 4)


def test_a_foreign_file_is_split_at_an_output(tmp_path):
    backbone = load(foreign(tmp_path / "foreign.onnx"), layer="maps_inside")
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(backbone.encode(x)[0], x.relu()) and backbone.feature_shape == (3, 16, 16)
    # Recipro-CAM's logits are the position's own values over 256 pixels.
    maps = rb.explain(backbone, x, 1, "reciprocam", score="logit")
    torch.testing.assert_close(maps, (x.relu()[:, 1] - x.relu()[:, 2]) / 256)


def test_logits_that_are_not_made_of_the_output_alone(tmp_path):
    make = onnx.helper.make_node
    nodes = [
        make("Relu", ["x"], ["features"]),
        make("Add", ["features", "x"], ["sum"]),
        make("GlobalAveragePool", ["sum"], ["pooled"]),
        make("Flatten", ["pooled"], ["y"]),
    ]
    path = write(tmp_path / "skip.onnx", nodes, ["N", 3, 8, 8], None, {"y": ["N", 3], "features": ["N", 3, 8, 8]})
    with pytest.raises(UserError, match="its logits are not made of 'features' alone; set layer: image"):
        load(path, layer="features")
    assert [load(path, layer=layer).layer for layer in ("image", "auto")] == ["image", "image"]


def test_a_transformer_with_its_features_is_only_called(tmp_path):
    torch.manual_seed(0)
    net = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=2)
    pytorch = rb.split_backbone(net, torch.randn(2, 3, 32, 32))
    rb.export(pytorch, tmp_path / "vit.onnx", "reciprocam[score=logit]", classes="input", features=True)
    backbone, x = rb.load_backbone(f"onnx:{tmp_path}/vit.onnx"), torch.randn(3, 3, 32, 32)
    assert (backbone.layer, backbone.split) == ("image", "call")
    expected = rb.explain(pytorch, x, [4, 0, 2], "reciprocam", score="logit")
    torch.testing.assert_close(rb.explain(backbone, x, [4, 0, 2], "exported"), expected, rtol=1e-4, atol=1e-5)


def message_of(path: Path, **more: object) -> str:
    with pytest.raises(UserError) as error:
        load(path, **more)
    assert "\n" not in str(error.value) and path.name in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_a_truncated_file(files, tmp_path, share):
    whole = (files / "full.onnx").read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(whole[: int(len(whole) * share)])
    assert "it is truncated or no ONNX file" in message_of(path)


def test_weights_beside_the_file_that_are_missing(files, tmp_path):
    model = onnx.load(files / "full.onnx")
    path = tmp_path / "outside.onnx"
    onnx.save(model, path, save_as_external_data=True, location="outside.data", size_threshold=200)
    assert load(path, preprocessing=None).num_classes == 5
    (tmp_path / "outside.data").unlink()
    assert "its weights lie in a file beside it that is not there" in message_of(path)


def test_weights_beside_the_file_are_part_of_what_it_is(files, tmp_path):
    full, path = files / "full.onnx", tmp_path / "outside.onnx"
    assert digest_of(full) == hashlib.sha256(full.read_bytes()).hexdigest()
    onnx.save(onnx.load(full), path, save_as_external_data=True, location="outside.data", size_threshold=200)
    before = load(path, preprocessing=None).weights["sha256"]
    weights = bytearray((tmp_path / "outside.data").read_bytes())
    weights[0] ^= 1
    (tmp_path / "outside.data").write_bytes(weights)
    assert load(path, preprocessing=None).weights["sha256"] != before


def test_weights_of_a_branch_can_lie_beside_the_file(tmp_path):
    h = onnx.helper
    tensor = onnx.numpy_helper.from_array(np.ones(3, np.float32), "w")
    onnx.external_data_helper.set_external_data(tensor, "inner.data")
    tensor.ClearField("raw_data")
    branch = h.make_graph([h.make_node("Identity", ["w"], ["z"])], "branch", [], [], [tensor])
    node = h.make_node("If", ["condition"], ["y"], then_branch=branch, else_branch=branch)
    (tmp_path / "if.onnx").write_bytes(h.make_model(h.make_graph([node], "g", [], [])).SerializeToString())
    assert weight_files(tmp_path / "if.onnx") == ["inner.data"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"layer": "layer4"}, "layer 'layer4' is no output of feature maps"),
        ({"device": "meta"}, "ONNX Runtime is used on the CPU here; set device: cpu"),
        ({"weights": "best.pth"}, "an ONNX file holds its weights; leave backbone.weights out"),
        ({"image_size": 32}, "it takes images of 24x24 pixels, not 32; set preprocess: model"),
    ],
)
def test_what_a_file_cannot_do_is_said(files, more, message):
    assert message in message_of(files / "full.onnx", preprocessing=None, **more)


# The command line.


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["rcam-bench", *words])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


@pytest.fixture
def place(files, tmp_path, monkeypatch) -> Path:
    """A working folder with pictures, a config and the file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"pictures/{i}.png")
    (tmp_path / "full.onnx").write_bytes((files / "full.onnx").read_bytes())
    config = {
        "backbone": {"model": "onnx:full.onnx"},
        "dataset": {"name": "folder", "root": "pictures"},
        "preprocess": "model",
        "methods": ["exported", "scorecam"],
        "metrics": ["average_drop", "increase", "coherency", "complexity", "adcc"],
        "timing": {"repeats": 1, "warmup": 0},
        "device": "cpu",
        "maps": 0,
    }
    (tmp_path / "onnx.yaml").write_text(json.dumps(config))
    return tmp_path


def test_a_file_is_run_and_timed(place, monkeypatch):
    import pandas as pd

    assert command(monkeypatch, "run", "onnx.yaml", "--output", "out", "--quiet") == 0
    rows = pd.read_csv(place / "out/per_image.csv")
    assert rows.status.tolist() == ["ok"] * 4 and rows.coherency.notna().all()
    timing = pd.read_csv(place / "out/timing.csv")
    assert {("exported", "end-to-end"), ("scorecam", "explainer")} <= set(zip(timing.method, timing.scope, strict=True))
    environment = json.loads((place / "out/environment.json").read_text())
    assert environment["backbone"]["weights"]["source"] == "full.onnx" and environment["packages"]["onnxruntime"]


def test_a_file_explains_pictures(place, monkeypatch, capsys):
    assert command(monkeypatch, "explain", "pictures/0.png", "--model", "onnx:full.onnx") == 0
    assert (place / "explained/0_exported.png").exists()
    assert command(monkeypatch, "explain", "pictures/0.png", "--model", "onnx:full.onnx", "--method", "gradcam") == 2
    assert capsys.readouterr().err.startswith("rcam-bench: method 'gradcam': it differentiates the network")


# How far a pixel of the two pictures may lie apart, of 255: where a map differs in its last digit, the next of jet's
# 256 colours may be taken, which is 4 apart. docs/export.md says so.
PIXEL = 4


def drawn(monkeypatch: pytest.MonkeyPatch, folder: Path, picture: str, *words: str) -> list[np.ndarray]:
    """The overlay and the heat alone."""
    assert command(monkeypatch, "explain", picture, "--maps", "--output", str(folder), *words) == 0
    files = sorted(path for path in folder.glob("*.png") if "sheet" not in path.name)
    return [np.asarray(Image.open(path)).astype(int) for path in files]


def draws_alike(monkeypatch: pytest.MonkeyPatch, picture: str, *network: str) -> None:
    assert command(monkeypatch, "export", *network, "--output", "net.onnx") == 0
    pytorch = drawn(monkeypatch, Path("pytorch"), picture, *network, "--method", "reciprocam")
    onnx_file = drawn(monkeypatch, Path("onnx"), picture, "--model", "onnx:net.onnx")
    assert len(pytorch) == len(onnx_file) == 2
    for ours, theirs in zip(pytorch, onnx_file, strict=True):
        assert ours.std() > 1 and abs(ours - theirs).max() <= PIXEL


def test_a_file_draws_the_picture_of_pytorch(place, monkeypatch):
    draws_alike(monkeypatch, "pictures/0.png", "--model", "timm/test_resnet", "--weights", "none")


def test_real_weights_draw_the_picture_of_pytorch(place, monkeypatch, weights_dir, data):
    draws_alike(monkeypatch, str(min((data / "imagenet_samples").glob("*/*.JPEG"))), "--model", "torchvision/resnet18")


def test_a_foreign_file_is_described_in_the_config(place, monkeypatch, capsys):
    foreign(place / "foreign.onnx")
    words = ["explain", "pictures/0.png", "--model", "onnx:foreign.onnx"]
    assert command(monkeypatch, *words) == 2
    assert "no metadata" in capsys.readouterr().err
    described = ["--set", "backbone.mean=[0.5, 0.5, 0.5]", "--set", "backbone.std=[0.5, 0.5, 0.5]"]
    assert command(monkeypatch, *words, *described) == 0
    assert (place / "explained/0_blackboxreciprocam.png").exists()
    assert command(monkeypatch, *words, *described, "--method", "exported") == 2
    assert "gives no maps of its own" in capsys.readouterr().err
