"""The files of docs/integration.md, run as they stand there."""

import http.client
import importlib
import io
import sys
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.config import parse_config

PAGE = Path(__file__).parents[1] / "docs/integration.md"


def files() -> dict[str, str]:
    """The page's Python files by the name that stands in front of them."""
    found = {}
    for before, block in zip(*[iter(PAGE.read_text("utf-8").split("```"))] * 2, strict=False):
        named = before.rstrip().rpartition("`")[0].rpartition("`")[2]
        if block.startswith("python\n") and named.endswith(".py"):
            found[named] = block.removeprefix("python\n")
    return found


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Imports a file of the page."""

    def load(name: str) -> ModuleType:
        (tmp_path / f"{name}.py").write_text(files()[f"{name}.py"], "utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.chdir(tmp_path)
        return importlib.import_module(name)

    return load


def picture(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8))


def test_the_page_has_its_files():
    assert set(files()) == {"hf_nets.py", "training_overlays.py", "service.py"}


def test_the_config_is_one():
    (block,) = [b for b in PAGE.read_text("utf-8").split("```") if b.startswith("yaml\n")]
    config = parse_config(yaml.safe_load(block.removeprefix("yaml\n")), "hf.yaml")
    assert (config.backbone.factory, config.backbone.options) == ("hf_nets:make", {"name": "microsoft/resnet-50"})


class Recorder:
    """What TensorBoard's writer is asked to add."""

    def __init__(self) -> None:
        self.added: list[tuple[str, np.ndarray, int]] = []

    def add_image(self, tag: str, image: np.ndarray, step: int, dataformats: str) -> None:
        assert dataformats == "HWC"
        self.added.append((tag, image, step))


def network(channels: int = 3) -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(channels, 6, 3, stride=4, padding=1), nn.BatchNorm2d(6), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5))


def test_overlays_are_logged_while_training(module):
    log_overlays = module("training_overlays").log_overlays
    net, writer, pictures = network(), Recorder(), [picture(0), picture(1)]
    optimiser = torch.optim.SGD(net.parameters(), lr=0.5)
    images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    wants = rb.Preprocessing(resize=32, crop=32)
    for step in range(2):
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(images), torch.arange(8) % 5).backward()
        before = {name: p.grad.clone() for name, p in net.named_parameters()}
        optimiser.step()
        log_overlays(writer, net, pictures, step, size=32, preprocessing=wants)
        assert net.training and all(torch.equal(p.grad, before[name]) for name, p in net.named_parameters())
    assert [(tag, step) for tag, _, step in writer.added] == [
        (f"reciprocam/{i}", step) for step in range(2) for i in range(2)
    ]
    first, later = writer.added[0][1], writer.added[2][1]
    assert first.shape == (40, 50, 3) and first.dtype == np.uint8
    assert (first != later).any(), "the network has learnt in between"
    backbone = rb.split_backbone(net, torch.zeros(1, 3, 32, 32), preprocessing=wants)
    cam = rb.explain(backbone, rb.preprocess(backbone, pictures[:1]))[0]
    assert (later == np.asarray(rb.overlay(backbone, pictures[0], cam))).all()


@pytest.mark.parametrize("channels", [3, 1])
def test_overlays_are_of_the_size_that_is_asked_for(module, channels):
    overlays, explained = module("training_overlays"), []
    explain = overlays.explain

    def recorded(backbone, images, **about):
        explained.append(tuple(images.shape))
        return explain(backbone, images, **about)

    overlays.explain = recorded
    overlays.log_overlays(Recorder(), network(channels), [picture()], 0, size=32)
    assert explained == [(1, channels, 32, 32)]


@pytest.mark.slow
def test_tensorboard_takes_them(module, tmp_path):
    board = pytest.importorskip("torch.utils.tensorboard")
    with board.SummaryWriter(str(tmp_path / "board")) as writer:
        module("training_overlays").log_overlays(writer, network(), [picture()], 0, size=32)
    assert any((tmp_path / "board").iterdir())


@pytest.fixture
def service(module, monkeypatch):
    """The page's service on a port of its own, for a small network; its address and backbone."""
    backbone = rb.split_backbone(
        network(), torch.zeros(1, 3, 32, 32), preprocessing=rb.Preprocessing(resize=32, crop=32)
    )
    monkeypatch.setattr(rb, "load_backbone", lambda model: backbone, raising=False)
    handler = module("service").Service
    handler.log_message = lambda *words: None
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address, backbone
    server.shutdown()
    thread.join()
    server.server_close()


def post(address: tuple, body: bytes, **headers: str) -> tuple[int, dict, bytes]:
    connection = http.client.HTTPConnection(*address, timeout=20)
    connection.request("POST", "/", body, headers)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def test_the_service_explains_a_picture(service):
    address, backbone = service
    body = io.BytesIO()
    picture().save(body, "PNG")
    status, headers, answer = post(address, body.getvalue())
    images = rb.preprocess(backbone, [picture()])
    assert (status, headers["Predicted-Class"]) == (200, str(int(backbone(images).argmax())))
    expected = rb.overlay(backbone, picture(), rb.explain(backbone, images)[0])
    assert (np.asarray(Image.open(io.BytesIO(answer))) == np.asarray(expected)).all()


def test_the_service_goes_on_after_what_is_no_picture(service):
    address, _ = service
    assert post(address, b"no picture")[0] == 400
    assert post(address, b"", **{"Content-Length": str(2**30)})[0] == 413
    assert post(address, b"")[0] == 400
    for length in ("-1", "ten", "1.5", ""):
        assert post(address, b"", **{"Content-Length": length})[0] == 411


TINY = {
    "ResNet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "num_labels": 3},
    "ViT": {
        **{"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32},
        **{"image_size": 32, "patch_size": 8, "num_labels": 3},
    },
}


@pytest.mark.slow
@pytest.mark.parametrize(("family", "method"), [("ResNet", "reciprocam"), ("ResNet", "gradcam"), ("ViT", "reciprocam")])
def test_a_classifier_of_hugging_face(module, tmp_path, family, method):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    made = getattr(transformers, f"{family}ForImageClassification")(
        getattr(transformers, f"{family}Config")(**TINY[family])
    )
    made.save_pretrained(tmp_path / "tiny")
    module("hf_nets")
    from reciprocam_bench.backbones.factory import load_factory

    wants = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "resize": 32, "crop": 32}
    backbone = load_factory("hf_nets:make", {"name": str(tmp_path / "tiny")}, preprocessing=wants)
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(backbone(images), made.eval()(pixel_values=images).logits, rtol=1e-4, atol=1e-5)
    maps = rb.explain(backbone, images, method=method)
    assert maps.shape == (2, *backbone.feature_shape[1:]) and maps.std() > 0
