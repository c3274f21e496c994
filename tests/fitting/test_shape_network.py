"""The network of the synthetic pictures: it learns, is the same again, and is kept."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from reciprocam_bench.backbones.backbone import Preprocessing
from reciprocam_bench.backbones.factory import load_factory
from reciprocam_bench.datasets.images import PreparedImages, preparation
from reciprocam_bench.datasets.shapes import draw
from reciprocam_bench.errors import UserError
from reciprocam_bench.fitting import shape_network
from reciprocam_bench.fitting.shape_network import ShapeNet, accuracy_of, make, pictures, prepared, train
from reciprocam_bench.protocols.protocol import load_protocol

FACTORY = "reciprocam_bench.fitting.shape_network:make"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RCAM_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(shape_network, "_HELD_OUT", 64)
    return tmp_path


def weights(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def test_a_run_feeds_it_what_it_was_trained_on(tmp_path: Path) -> None:
    Image.fromarray(draw(3, 0, "train").pixels).save(tmp_path / "a.png")
    sides = Preprocessing(resize=64, crop=64)
    prepare = preparation(load_protocol("poppi-2021").preprocess, sides, use_model_geometry=True)
    seen = PreparedImages([str(tmp_path / "a.png")], prepare)[0]
    trained = prepared(pictures(4, 0, "train")[0][3:])[0]
    torch.testing.assert_close(seen.tensor, trained)


def test_its_maps_are_8x8_and_its_head_is_pooled_and_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shape_network, "train", lambda *given: (ShapeNet(), 1.0))
    backbone = load_factory(FACTORY, image_size=64, preprocessing={"resize": 64, "crop": 64})
    assert (backbone.feature_shape, backbone.num_classes) == ((96, 8, 8), 8)
    assert backbone.linear is not None


def test_the_same_seed_gives_the_same_weights_and_leaves_the_random_state() -> None:
    torch.manual_seed(7)
    state = torch.random.get_rng_state()
    first, second, other = (weights(train(seed, 64, 1)[0]) for seed in (0, 0, 1))
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_it_says_that_it_trains_and_does_so_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shape_network, "_LEAST", 0.0)
    first = make(images=64, epochs=1)
    said = capsys.readouterr().err
    assert "training the network of the synthetic pictures: 64 pictures, 1 epochs" in said
    assert "% of 64 held-out pictures are right" in said
    monkeypatch.setattr(shape_network, "train", lambda *given: pytest.fail("trained again"))
    assert torch.equal(weights(make(images=64, epochs=1)), weights(first)) and not first.training
    assert capsys.readouterr().err == ""


def test_one_that_did_not_learn_is_refused_and_not_kept(cache: Path) -> None:
    with pytest.raises(UserError, match=r"it names \d+ % of the held-out pictures; give it more images or epochs"):
        make(images=64, epochs=1)
    assert not list(cache.rglob("*.safetensors"))


def test_damaged_weights_are_told(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(shape_network, "train", lambda *given: (ShapeNet(), 1.0))
    make(images=64, epochs=1)
    next(cache.rglob("*.safetensors")).write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"weights.safetensors is damaged; delete .*-seed0-64x1, it is made again"):
        make(images=64, epochs=1)


@pytest.mark.slow
def test_it_learns() -> None:
    """A few pictures by heart; that it names others takes more of them, and a minute."""
    network, _ = train(0, 64, 40)
    assert accuracy_of(network, *pictures(64, 0, "train")) > 0.9
