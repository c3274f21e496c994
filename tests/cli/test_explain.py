"""``rcam-bench explain``: one picture, one overlay a method, one sheet."""

import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reciprocam_bench.cli import main
from reciprocam_bench.datasets.images import preparation, read_picture
from reciprocam_bench.engine.one_image import explain_image
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.explainers.registry import EXPLAINERS
from reciprocam_bench.protocols.protocol import load_protocol

pytestmark = pytest.mark.slow

Cli = Callable[..., tuple[int, list[str], str]]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An image of 60x40 with a name that is not plain, in a working folder of its own."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "my dog ü.v2.png"
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((60, 40)).save(path)
    return path


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Cli:
    def call(*words: object) -> tuple[int, list[str], str]:
        command = ["rcam-bench", "explain", *words, "--weights", "none", "--device", "cpu"]
        monkeypatch.setattr(sys, "argv", list(map(str, command)))
        torch.manual_seed(0)
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return code, out.splitlines(), err

    return call


def test_overlays_and_a_sheet_of_the_right_sizes(cli: Cli, picture: Path) -> None:
    code, out, err = cli(picture, "--model", "timm/test_resnet")
    assert (code, err) == (0, "")
    names = [f"explained/my dog ü.v2_{part}.png" for part in ("gradcam", "reciprocam", "sheet")]
    assert out[0].startswith("explained: ")
    assert out[1:] == names
    sizes = [Image.open(name).size for name in names]
    assert sizes == [(160, 160), (160, 160), (780, 330)]


def test_an_overlay_shows_the_picture_under_a_map(cli: Cli, picture: Path) -> None:
    cli(picture, "-m", "timm/test_resnet", "--method", "gradcam", "-o", "out")
    shown = np.asarray(Image.open("out/my dog ü.v2_gradcam.png").convert("RGB"), dtype=float)
    plain = np.asarray(Image.open(picture).resize((240, 160)).crop((40, 0, 200, 160)), dtype=float)
    heat = shown - 0.45 * plain
    assert heat.min() > -25
    assert heat.max() < 0.55 * 255 + 25
    assert np.corrcoef(shown.ravel(), plain.ravel())[0, 1] > 0.3
    assert heat.std() > 10


def test_methods_class_layer_and_output(cli: Cli, picture: Path) -> None:
    words = ("--method", "cam", "--method", "gradcam", "--class", 7, "--layer", "layer3", "-o", "a b/ç")
    code, out, err = cli(picture, "-m", "timm/test_resnet", *words)
    assert code == 2
    assert "cam" in err
    code, out, _ = cli(picture, "-m", "timm/test_resnet", *words[2:])
    assert code == 0
    assert out[0].startswith("explained: cock (p = ")
    assert ", predicted: " in out[0]
    assert out[1:] == [f"a b/ç/my dog ü.v2_{part}.png" for part in ("gradcam", "sheet")]


def test_the_same_method_twice_is_drawn_once(cli: Cli, picture: Path) -> None:
    code, out, _ = cli(picture, "-m", "timm/test_resnet", "--method", "gradcam", "--method", "gradcam")
    assert (code, len(out)) == (0, 3)


def test_a_model_of_another_image_size(cli: Cli, picture: Path) -> None:
    code, out, err = cli(picture, "-m", "timm/vit_tiny_patch16_384", "--method", "gradcam")
    assert (code, err) == (0, "")
    assert Image.open(out[1]).size == (384, 384)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_pictures_of_other_modes(cli: Cli, tmp_path: Path, picture: Path, mode: str) -> None:
    path = tmp_path / ("other.jpg" if mode == "CMYK" else "other.png")
    Image.open(picture).convert(mode).save(path)
    assert cli(path, "-m", "timm/test_resnet", "--method", "gradcam")[0] == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (500, 3)])
def test_pictures_of_odd_sizes(cli: Cli, tmp_path: Path, picture: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, (200, 10, 10)).save(tmp_path / "odd.png")
    assert cli(tmp_path / "odd.png", "-m", "timm/test_resnet", "--method", "gradcam")[0] == 0


def test_the_picture_is_prepared_as_the_model_wants_it(picture: Path, tmp_path: Path) -> None:
    explain_image(
        picture, "timm/test_resnet", ["gradcam"], weights="none", layer="auto", class_index=None, output=tmp_path / "o",
        device="cpu",
    )  # fmt: skip
    from reciprocam_bench.backbones.load import load_backbone

    model = load_backbone("timm/test_resnet", "none").preprocessing
    prepared = preparation(load_protocol("poppi-2021").preprocess, model, use_model_geometry=True)
    assert prepared.picture(read_picture(str(picture))).size == Image.open(tmp_path / "o/my dog ü.v2_gradcam.png").size


@pytest.mark.parametrize("content", [None, b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_what_is_no_image_is_a_mistake(picture: Path, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.png(: unreadable image: .*;| does not exist;) give an image file$"):
        explain_image(
            path, "timm/test_resnet", ["gradcam"], weights="none", layer="auto", class_index=None, output=tmp_path,
            device="cpu",
        )  # fmt: skip


def test_one_methods_failure_leaves_the_pictures_of_the_others(
    picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(fp: ForwardPass) -> torch.Tensor:
        raise RuntimeError("no\nluck")

    monkeypatch.setitem(EXPLAINERS._specs, "layercam", dataclasses.replace(EXPLAINERS.get("layercam"), function=fails))
    with pytest.raises(UserError) as error:
        explain_image(
            picture, "timm/test_resnet", ["layercam", "gradcam"], weights="none", layer="auto", class_index=None,
            output=tmp_path / "o", device="cpu",
        )  # fmt: skip
    assert str(error.value) == (
        f"method 'layercam' failed: RuntimeError: no luck; the pictures of the others are in {tmp_path / 'o'}"
    )
    assert sorted(p.name.rpartition("_")[2] for p in (tmp_path / "o").iterdir()) == ["gradcam.png", "sheet.png"]
