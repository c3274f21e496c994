"""Files that return logits and maps, checked against PyTorch and refused where they differ."""

import dataclasses
import json
import sys
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.backbones.file_metadata import KEY, read_metadata
from reciprocam_bench.cli import main
from reciprocam_bench.errors import UserError
from reciprocam_bench.exporting import export_model
from reciprocam_bench.exporting.explained_model import ExplainedModel

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("operators_once")]


def small(pool: type[nn.Module] = nn.AdaptiveAvgPool2d, **about: object) -> rb.Backbone:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3, stride=4, padding=1), nn.ReLU(), pool(1), nn.Flatten(), nn.Linear(6, 5))
    return rb.split_backbone(net, torch.randn(2, 3, 24, 24), **about)


def run_file(path: Path, images: torch.Tensor, **more: torch.Tensor) -> list[torch.Tensor]:
    given = {"images": images, **more}
    if path.suffix == ".pt2":
        return list(torch.export.load(path).module()(*given.values()))
    session = onnxruntime.InferenceSession(str(path))
    return [torch.from_numpy(o) for o in session.run(None, {name: t.numpy() for name, t in given.items()})]


def test_a_network_elsewhere_than_on_the_cpu_is_refused_and_left_where_it_is(tmp_path):
    backbone = dataclasses.replace(small(), device=torch.device("meta"))
    with pytest.raises(UserError, match=r"model\.onnx: the network is on meta; export one .* device='cpu'$"):
        rb.export(backbone, tmp_path / "model.onnx")


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
@pytest.mark.parametrize(
    ("method", "form"),
    [
        ("reciprocam", {}),
        ("reciprocam[mask=gaussian]", {"classes": "all", "normalise": True, "resolution": "image"}),
        ("cam", {"classes": (4, 1), "features": True}),
        ("reciprocam[path=batched-head,score=logit]", {"classes": "input"}),
    ],
)
def test_a_file_gives_what_the_module_gives(tmp_path, suffix, method, form):
    backbone, path = small(class_names=list("abcde")), tmp_path / f"model{suffix}"
    exported = rb.export(backbone, path, method, **form)
    images = torch.randn(4, 3, 24, 24)
    classes = {"classes": torch.tensor([0, 4, 2, 2])} if form.get("classes") == "input" else {}
    with torch.no_grad():
        expected = ExplainedModel(backbone, method, **form)(images, *classes.values())
    found = run_file(path, images, **classes)
    assert [t.shape for t in found] == [t.shape for t in expected]
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(found, expected, strict=True))
    assert max(exported.metadata.difference.values()) < 1e-4
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
@pytest.mark.parametrize("method", ["reciprocam", "vitreciprocam"])
def test_a_transformer_is_exported_with_its_class_token(tmp_path, suffix, method):
    torch.manual_seed(0)
    net = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=2)
    backbone, path = rb.split_backbone(net, torch.randn(2, 3, 32, 32)), tmp_path / f"vit{suffix}"
    exported = rb.export(backbone, path, f"{method}[score=logit]")
    assert (exported.metadata.layer, exported.metadata.path) == ("blocks.0", "batched-head")
    assert max(exported.relative.values()) < 1e-4
    images = torch.randn(4, 3, 32, 32)
    expected = rb.explain(backbone, images, method=method, score="logit")
    found = run_file(path, images)[1]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_torchvisions_transformer_is_exported(tmp_path):
    torch.manual_seed(0)
    net = torchvision.models.VisionTransformer(32, 8, 2, 2, 24, 48, num_classes=6)
    nn.init.normal_(net.heads.head.weight)
    backbone = rb.split_backbone(net, torch.randn(2, 3, 32, 32))
    rb.export(backbone, tmp_path / "vit.onnx", "vitreciprocam")
    images = torch.randn(4, 3, 32, 32)
    found = run_file(tmp_path / "vit.onnx", images)[1]
    torch.testing.assert_close(found, rb.explain(backbone, images, method="vitreciprocam"), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_a_file_says_what_it_is(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    wants = rb.Preprocessing((0.4, 0.4, 0.4), (0.3, 0.3, 0.3), 48, 24)
    exported = rb.export(small(class_names=list("abcde"), preprocessing=wants, name="net"), path, size=32)
    if suffix == ".onnx":
        text = onnxruntime.InferenceSession(str(path)).get_modelmeta().custom_metadata_map[KEY]
    else:
        extra = {f"{KEY}.json": ""}
        torch.export.load(path, extra_files=extra)
        text = extra[f"{KEY}.json"]
    about = read_metadata(text, "here")
    assert about.model_dump_json() == exported.metadata.model_dump_json()
    assert (about.model, about.layer, about.path, about.class_names) == ("net", "1", "closed-form", tuple("abcde"))
    assert (about.wanted().mean, about.wanted().crop, about.wanted().resize) == ((0.4, 0.4, 0.4), 32, 64)
    assert exported.shapes["images"] == (3, 3, 32, 32) and set(about.difference) == {"logits", "maps"}


def test_a_file_that_differs_is_not_kept(tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_text("what was there before")
    real = export_model._runner

    def wrong(*given):
        run = real(*given)
        return lambda inputs: [output + 0.01 for output in run(inputs)]

    monkeypatch.setattr(export_model, "_runner", wrong)
    with pytest.raises(UserError, match=r"not kept: its logits differ from PyTorch by 0\.01"):
        rb.export(small(), path)
    assert path.read_text() == "what was there before" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "message"), [("model.tflite", "an exported model ends in"), ("absent/model.onnx", "there is no folder")]
)
def test_where_it_cannot_be_written_is_said(tmp_path, name, message):
    with pytest.raises(UserError, match=message):
        rb.export(small(), tmp_path / name)


def test_what_is_larger_than_one_onnx_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(export_model, "_MOST_BYTES", 100)
    with pytest.raises(UserError, match=r"net is larger than one ONNX file holds \(.* GiB\); take \.pt2$"):
        rb.export(small(name="net"), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
    rb.export(small(), tmp_path / "model.pt2")


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr("reciprocam_bench.backbones.onnx_session.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'rcam-bench\[onnx\]'"):
        rb.export(small(), tmp_path / "model.onnx")


def test_what_cannot_be_traced_is_said(tmp_path):
    class Strange(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 6, 3, stride=4), nn.Linear(6, 5)

        def forward(self, x):
            y = self.conv(x).relu().mean((2, 3))
            return self.fc(torch.from_numpy(y.numpy()))

    backbone = rb.split_backbone(Strange(), torch.randn(2, 3, 24, 24), layer="conv")
    with pytest.raises(UserError, match="custom cannot be exported: "):
        rb.export(backbone, tmp_path / "model.onnx")


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["rcam-bench", "export", *words])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["--model", "timm/test_resnet", "--weights", "none", "--classes", "3, 7", "--normalise"]
    assert command(monkeypatch, *words, "--resolution", "image", "--multi-label", "--output", "m.onnx") == 0
    out, err = capsys.readouterr()
    assert err == "note: the weights are random (weights: none): the maps mean nothing\n"
    lines = out.splitlines()
    assert lines[0].startswith("m.onnx: timm/test_resnet with reciprocam at layer layer4 (closed-form), ")
    assert lines[1:4] == ["  in  images (N, 3, 160, 160)", "  out logits (N, 1000)", "  out maps (N, 2, 160, 160)"]
    assert lines[4].startswith("largest difference from PyTorch: logits ")
    text = onnxruntime.InferenceSession("m.onnx").get_modelmeta().custom_metadata_map[KEY]
    assert json.loads(text)["multi_label"] and json.loads(text)["class_names"][7] == "cock"


def test_a_config_of_another_machine_is_exported_as_float32(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    about = "backbone: {model: timm/test_resnet, weights: none}\ndataset: {name: folder, root: absent}\n"
    Path("gpu.yaml").write_text(f"{about}methods: [cam]\ndevice: cuda\nprecision: tf32\ncompile: true\n")
    assert command(monkeypatch, "--config", "gpu.yaml", "--output", "m.onnx") == 0
    assert Path("m.onnx").is_file()


def test_the_command_wants_a_network(monkeypatch, capsys):
    assert command(monkeypatch) == 2
    assert capsys.readouterr().err.startswith("rcam-bench: export: say which network")
