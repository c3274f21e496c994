"""int8 files: quantised up to the features, float32 behind them, and told how far they are from PyTorch."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import reciprocam_bench as rb
from reciprocam_bench.cli import main
from reciprocam_bench.errors import UserError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("operators_once")]

WANTS = rb.Preprocessing((0.5,) * 3, (0.5,) * 3, 24, 24)


def network() -> rb.Backbone:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU()]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5))
    return rb.split_backbone(net, torch.randn(2, 3, 24, 24), preprocessing=WANTS)


def images(count: int) -> Tensor:
    return torch.rand(count, 3, 24, 24, generator=torch.Generator().manual_seed(1)) * 2 - 1


def kinds(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


@pytest.mark.parametrize("classes", ["predicted", "input"])
def test_only_the_network_up_to_the_features_is_int8(tmp_path, classes):
    path = tmp_path / "int8.onnx"
    exported = rb.export(network(), path, classes=classes, calibration=images(12))
    graph = onnx.load(path).graph
    assert [output.name for output in graph.output] == ["logits", "maps"]
    stored = {tensor.name: tensor.data_type for tensor in graph.initializer}
    reads = {node.output[0]: node for node in graph.node}
    weights = [node.input[1] for node in graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    held = [stored[reads[name].input[0] if name in reads and name not in stored else name] for name in weights]
    assert held[:2] == [onnx.TensorProto.INT8] * 2
    assert held[2:] == [onnx.TensorProto.FLOAT] * 2, "the head, and the map"
    assert exported.metadata.precision == "int8" and exported.agreement >= 0.5
    assert 1e-6 < exported.metadata.difference["logits"] < 0.1


def test_its_maps_are_nearly_those_of_pytorch(tmp_path):
    rb.export(network(), tmp_path / "int8.onnx", classes="input", features=True, calibration=images(12))
    backbone = rb.load_backbone(f"onnx:{tmp_path}/int8.onnx")
    assert backbone.feature_shape == (16, 6, 6)
    wanted, found = (rb.explain(b, images(4), [0, 1, 2, 3], "reciprocam") for b in (network(), backbone))
    torch.testing.assert_close(found, wanted, rtol=0.05, atol=0.01)
    assert not torch.equal(found, wanted)
    own = rb.explain(backbone, images(4), [0, 1, 2, 3], "exported")
    torch.testing.assert_close(own, found, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("m.pt2", (2, 3, 24, 24), "int8 files are made by ONNX Runtime; end the name in .onnx"),
        ("m.onnx", (2, 3, 32, 32), r"calibration: images must be \('N', 3, 24, 24\); they are \(2, 3, 32, 32\)"),
        ("m.onnx", (0, 3, 24, 24), "calibration: images must be"),
    ],
)
def test_what_cannot_be_calibrated_is_said(tmp_path, name, shape, message):
    with pytest.raises(UserError, match=message):
        rb.export(network(), tmp_path / name, calibration=torch.zeros(shape))
    assert not list(tmp_path.iterdir())


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["rcam-bench", "export", *words])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_the_command_calibrates_on_a_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("pictures").mkdir()
    words = ["--model", "timm/test_resnet", "--weights", "none", "--int8", "pictures"]
    assert command(monkeypatch, *words) == 2
    assert "dataset 'folder' has no images" in capsys.readouterr().err
    (tmp_path / "pictures/broken.png").write_bytes(b"no picture")
    assert command(monkeypatch, *words) == 2
    assert capsys.readouterr().err.startswith("rcam-bench: --int8: pictures holds no readable image (broken.png")
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (50, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"pictures/{i}.png")
    assert command(monkeypatch, *words) == 0
    out, err = capsys.readouterr()
    assert "note: left out: broken.png: unreadable image" in err
    lines = out.splitlines()
    assert ", int8, " in lines[0] and lines[-1].startswith("of the pictures it was calibrated on ")
    assert "QuantizeLinear" in kinds(tmp_path / "model.onnx")
