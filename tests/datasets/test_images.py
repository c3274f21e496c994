"""Image files to network inputs: geometry, modes, and files that cannot be read."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reciprocam_bench.backbones.backbone import Preprocessing
from reciprocam_bench.datasets.images import Preparation, PreparedImages, preparation, read_picture
from reciprocam_bench.protocols.protocol import Geometry

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PIL_KERNEL = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
PIL_KERNEL["nearest"] = Image.Resampling.NEAREST


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def geometry(resize: str, size: int, crop: int, interpolation: str = "bilinear") -> Geometry:
    return Geometry(resize=resize, size=size, crop=crop, interpolation=interpolation)


def same(a: Image.Image, b: Image.Image) -> bool:
    return a.size == b.size and np.array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize("interpolation", PIL_KERNEL)
@pytest.mark.parametrize("width, height, scaled", [(60, 40, (48, 32)), (40, 60, (32, 48)), (40, 40, (32, 32))])
def test_shorter_side_keeps_the_aspect_ratio(width: int, height: int, scaled: tuple, interpolation: str) -> None:
    image, crop = noise(width, height), 24
    left, top = (scaled[0] - crop) // 2, (scaled[1] - crop) // 2
    plain = image.resize(scaled, PIL_KERNEL[interpolation]).crop((left, top, left + crop, top + crop))
    prepared = Preparation(geometry("shorter-side", 32, crop, interpolation), MEAN, STD).picture(image)
    assert same(prepared, plain)


@pytest.mark.parametrize("width, height", [(60, 40), (20, 90), (32, 32)])
def test_squash_does_not(width: int, height: int) -> None:
    image = noise(width, height)
    plain = image.resize((32, 32), Image.Resampling.BILINEAR).crop((4, 4, 28, 28))
    assert same(Preparation(geometry("squash", 32, 24), MEAN, STD).picture(image), plain)


def test_the_tensor_is_normalised_channel_by_channel() -> None:
    picture = noise(8, 6)
    expected = (np.asarray(picture, dtype=np.float64) / 255 - MEAN) / STD
    tensor = Preparation(geometry("squash", 8, 8), MEAN, STD).tensor(picture)
    assert tensor.shape == (3, 6, 8)
    assert torch.allclose(tensor.double(), torch.from_numpy(expected.transpose(2, 0, 1)), atol=1e-6)


def test_the_models_geometry_is_used_only_when_asked_for() -> None:
    model = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.25, 0.5, 1.0), resize=40, crop=36, interpolation="bicubic")
    papers = geometry("squash", 32, 24)
    prepare = preparation(papers, model)
    assert (prepare.geometry, prepare.mean, prepare.std) == (papers, model.mean, model.std)
    prepare = preparation(papers, model, use_model_geometry=True)
    assert prepare.geometry == geometry("shorter-side", 40, 36, "bicubic")
    assert prepare.picture(noise(50, 70)).size == (36, 36)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "YCbCr"])
def test_every_mode_is_read_as_rgb(tmp_path: Path, mode: str) -> None:
    suffix = {"CMYK": "jpg", "YCbCr": "jpg"}.get(mode, "png")
    noise(8, 8).convert(mode).save(tmp_path / f"a.{suffix}")
    with Image.open(tmp_path / f"a.{suffix}") as plain:
        expected = plain.convert("RGB")
    read = read_picture(str(tmp_path / f"a.{suffix}"))
    assert read.mode == "RGB"
    assert same(read, expected)


def test_sixteen_bit_grey_is_scaled_not_cut_off(tmp_path: Path) -> None:
    grey = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "a.png")
    read = np.asarray(read_picture(str(tmp_path / "a.png")))[..., 0].astype(int)
    assert np.abs(read - grey / 257).max() <= 1


def jpeg() -> bytes:
    buffer = BytesIO()
    noise(64, 64).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content", [jpeg()[:-600], jpeg()[:30], b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40], ids=range(5)
)
def test_a_file_that_is_no_whole_image_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken ü.jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^unreadable image: ") as caught:
        read_picture(str(path))
    assert str(path) not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(ValueError, match=r"^unreadable image: "):
            read_picture(str(path))


def test_an_image_too_large_to_be_honest_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise(64, 64).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match=r"^unreadable image: "):
        read_picture(str(tmp_path / "a.png"))


def test_prepared_images_are_tensors_or_reasons(tmp_path: Path) -> None:
    noise(20, 10).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    paths = [str(tmp_path / name) for name in ("a.png", "b.png")]
    prepared = PreparedImages(paths, Preparation(geometry("squash", 16, 16), MEAN, STD))
    assert len(prepared) == 2
    assert prepared[0].tensor.shape == (3, 16, 16)
    assert prepared[1].startswith("unreadable image: ")
