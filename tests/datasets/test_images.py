"""Image files to network inputs: geometry, modes, and files that cannot be read."""

import os
import re
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageOps
from torch.utils.data import DataLoader

from reciprocam_bench.backbones.backbone import Preprocessing
from reciprocam_bench.datasets.images import Picture, Preparation, PreparedImages, preparation, read_picture
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
    prepared = Preparation(geometry("shorter-side", 32, crop, interpolation), MEAN, STD).picture(Picture(image))
    assert same(prepared, plain)


@pytest.mark.parametrize("width, height", [(60, 40), (20, 90), (32, 32)])
def test_squash_does_not(width: int, height: int) -> None:
    image = noise(width, height)
    plain = image.resize((32, 32), Image.Resampling.BILINEAR).crop((4, 4, 28, 28))
    assert same(Preparation(geometry("squash", 32, 24), MEAN, STD).picture(Picture(image)), plain)


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
    assert prepare.picture(Picture(noise(50, 70))).size == (36, 36)


def pixels(path: Path) -> list[list[int]]:
    """The RGB values that are read, row after row."""
    return np.asarray(read_picture(str(path)).image).reshape(-1, 3).tolist()


def row(mode: str, *values: object) -> Image.Image:
    image = Image.new(mode, (len(values), 1))
    image.putdata(values)
    return image


def png16(path: Path, colour_type: int, *values: tuple[int, ...]) -> None:
    """A PNG of one row with 16 bits a channel, which Pillow cannot write in colour."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", len(values), 1, 16, colour_type, 0, 0, 0)
    stored = zlib.compress(b"\0" + np.array(values, ">u2").tobytes())
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", stored) + chunk(b"IEND", b""))


@pytest.mark.parametrize(
    "mode, suffix, values, expected",
    [
        ("1", "png", (0, 1), [[0] * 3, [255] * 3]),
        ("L", "png", (0, 7, 255), [[0] * 3, [7] * 3, [255] * 3]),
        ("RGB", "png", ((1, 2, 3), (255, 0, 9)), [[1, 2, 3], [255, 0, 9]]),
        ("CMYK", "tiff", ((0, 0, 0, 0), (255, 0, 0, 0), (0, 0, 0, 255)), [[255] * 3, [0, 255, 255], [0] * 3]),
        ("YCbCr", "tiff", ((0, 128, 128), (255, 128, 128), (76, 85, 255)), [[0] * 3, [255] * 3, [254, 0, 0]]),
        ("LAB", "tiff", ((0, 128, 128), (255, 128, 128), (136, 208, 195)), [[0] * 3, [255] * 3, [255, 0, 0]]),
    ],
)
def test_modes_without_transparency_are_pillows_rgb(tmp_path, mode, suffix, values, expected) -> None:
    row(mode, *values).save(tmp_path / f"a.{suffix}")
    with Image.open(tmp_path / f"a.{suffix}") as stored:
        assert stored.mode == mode
    rounding = 12 if mode == "LAB" else 0  # 8 bits of L*a*b* are coarse, and the colour library rounds as it likes
    assert np.abs(np.array(pixels(tmp_path / f"a.{suffix}")) - expected).max() <= rounding
    assert read_picture(str(tmp_path / f"a.{suffix}")).stretched == ""


def test_transparent_pixels_lie_on_white(tmp_path: Path) -> None:
    # c·a + 255·(1 - a): of a half transparent 100 remains 177, and what lies under no ink at all is white.
    expected = [[100] * 3, [177] * 3, [255] * 3]
    row("RGBA", (100, 100, 100, 255), (100, 100, 100, 128), (100, 100, 100, 0)).save(tmp_path / "a.png")
    row("LA", (100, 255), (100, 128), (100, 0)).save(tmp_path / "la.png")
    palette = row("P", 0, 1, 2)
    palette.putpalette([100] * 9)
    palette.save(tmp_path / "p.png", transparency=bytes([255, 128, 0]))
    for name in ("a.png", "la.png", "p.png"):
        assert pixels(tmp_path / name) == expected, name
    row("RGBA", (1, 2, 3, 255), (255, 0, 128, 255)).save(tmp_path / "opaque.png")
    assert pixels(tmp_path / "opaque.png") == [[1, 2, 3], [255, 0, 128]]


def test_one_colour_of_a_file_may_be_transparent(tmp_path: Path) -> None:
    row("L", 7, 9).save(tmp_path / "l.png", transparency=9)
    row("RGB", (1, 2, 3), (4, 5, 6)).save(tmp_path / "rgb.png", transparency=(4, 5, 6))
    palette = row("P", 0, 1)
    palette.putpalette([1, 2, 3, 4, 5, 6])
    palette.save(tmp_path / "p.gif", transparency=1)
    assert pixels(tmp_path / "l.png") == [[7] * 3, [255] * 3]
    assert pixels(tmp_path / "rgb.png") == pixels(tmp_path / "p.gif") == [[1, 2, 3], [255] * 3]


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_a_palette_without_transparency_is_its_colours(tmp_path: Path, suffix: str) -> None:
    palette = row("P", 1, 0)
    palette.putpalette([1, 2, 3, 4, 5, 6])
    palette.save(tmp_path / f"a.{suffix}")
    assert pixels(tmp_path / f"a.{suffix}") == [[4, 5, 6], [1, 2, 3]]


@pytest.mark.parametrize(
    "kind, suffix, values, mode",
    [
        ("<u2", "png", (0, 819, 4095), "I;16"),  # a 12-bit X-ray
        ("<u2", "tiff", (1000, 13907, 65535), "I;16"),
        (">u2", "tiff", (0, 13107, 65535), "I;16B"),
        ("<i4", "tiff", (-1000, -200, 3000), "I"),  # Hounsfield units
        ("<i4", "tiff", (0, 200_000, 1_000_000), "I"),
        ("<f4", "tiff", (0.0, 0.2, 1.0), "F"),
        ("<f4", "tiff", (-3e38, -1.8e38, 3e38), "F"),
    ],
)
def test_more_than_eight_bits_are_stretched_from_the_files_own_range(tmp_path, kind, suffix, values, mode) -> None:
    Image.fromarray(np.array([values], kind)).save(tmp_path / f"a.{suffix}")
    assert pixels(tmp_path / f"a.{suffix}") == [[0] * 3, [51] * 3, [255] * 3]  # the middle one lies at a fifth
    assert read_picture(str(tmp_path / f"a.{suffix}")).stretched == mode


def test_a_stretched_file_of_one_value_is_black_and_one_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((1, 2), 4095, np.uint16)).save(tmp_path / "a.png")
    assert pixels(tmp_path / "a.png") == [[0] * 3] * 2
    for bad in (np.nan, np.inf):
        Image.fromarray(np.array([[0, bad]], np.float32)).save(tmp_path / "a.tiff")
        with pytest.raises(ValueError, match=r"^unreadable image: it holds NaN or infinite values$"):
            read_picture(str(tmp_path / "a.tiff"))


def test_sixteen_bit_channels_of_a_png_keep_their_high_byte(tmp_path: Path) -> None:
    png16(tmp_path / "rgb.png", 2, (0, 255, 256), (65535, 32768, 32767))
    assert pixels(tmp_path / "rgb.png") == [[0, 0, 1], [255, 128, 127]]
    png16(tmp_path / "rgba.png", 6, (256, 512, 768, 65535), (0, 0, 0, 0))
    assert pixels(tmp_path / "rgba.png") == [[1, 2, 3], [255] * 3]
    png16(tmp_path / "la.png", 4, (25600, 65535), (0, 0))
    assert pixels(tmp_path / "la.png") == [[100] * 3, [255] * 3]
    assert read_picture(str(tmp_path / "rgb.png")).stretched == ""


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tiff"])
def test_of_an_animation_the_first_frame_is_read(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (2, 2), colour) for colour in ("red", "blue")]
    lossless = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], **lossless)
    with Image.open(tmp_path / f"a.{suffix}") as stored:
        assert stored.n_frames == 2
    assert pixels(tmp_path / f"a.{suffix}") == [[255, 0, 0]] * 4


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_exif_rotation_is_applied_only_where_it_is_asked_for(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    noise(6, 4).save(tmp_path / f"a.{suffix}", exif=exif)
    with Image.open(tmp_path / f"a.{suffix}") as stored:
        plain = stored.convert("RGB")
        assert ImageOps.exif_transpose(stored).size == (4, 6)
        upright = ImageOps.exif_transpose(plain)
    assert read_picture(str(tmp_path / f"a.{suffix}")) == Picture(plain)
    assert read_picture(str(tmp_path / f"a.{suffix}"), upright=True) == Picture(upright, turned=True)
    noise(6, 4).save(tmp_path / "plain.png")
    assert not read_picture(str(tmp_path / "plain.png"), upright=True).turned


def test_damaged_exif_turns_nothing(tmp_path: Path) -> None:
    noise(6, 4).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM no more")
    picture = read_picture(str(tmp_path / "a.jpg"), upright=True)
    assert picture.image.size == (6, 4) and not picture.turned


def test_the_orientation_of_a_tiff_is_part_of_its_format(tmp_path: Path) -> None:
    Image.fromarray(np.array([[1, 2]], np.uint8)).save(tmp_path / "a.tiff", tiffinfo={ExifTags.Base.Orientation: 3})
    assert pixels(tmp_path / "a.tiff") == [[2] * 3, [1] * 3]


def test_an_ordinary_jpeg_is_what_pillow_decodes(data: Path) -> None:
    for pattern in ("imagenet/*/*.JPEG", "VOCdevkit/*/JPEGImages/*.jpg", "coco/**/*.jpg"):
        path = next(data.glob(pattern))
        with Image.open(path) as stored:
            assert same(read_picture(str(path)).image, stored.convert("RGB"))


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


def test_only_regular_files_are_opened(tmp_path: Path, make_pipe) -> None:
    make_pipe(tmp_path / "pipe.png")
    (tmp_path / "device.png").symlink_to("/dev/zero")
    special = "is no regular file (a pipe, socket or device)"
    reasons = {"none.png": "does not exist", ".": "is a folder", "pipe.png": special, "device.png": special}
    for name, reason in reasons.items():
        with pytest.raises(ValueError, match=rf"^unreadable image: the file {re.escape(reason)}$"):
            read_picture(str(tmp_path / name))
    noise(4, 4).save(tmp_path / "a.png")
    (tmp_path / "link.png").symlink_to("a.png")
    assert same(read_picture(str(tmp_path / "link.png")).image, noise(4, 4))


def test_an_image_too_large_to_be_honest_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise(64, 64).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match=r"^unreadable image: Image size \(4096 pixels\) exceeds limit"):
        read_picture(str(tmp_path / "a.png"))


def test_prepared_images_are_tensors_or_reasons(tmp_path: Path) -> None:
    noise(20, 10).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    paths = [str(tmp_path / name) for name in ("a.png", "b.png")]
    prepared = PreparedImages(paths, Preparation(geometry("squash", 16, 16), MEAN, STD))
    assert len(prepared) == 2
    assert prepared[0].tensor.shape == (3, 16, 16)
    assert (prepared[0].size, prepared[0].stretched) == ((20, 10), "")
    assert prepared[1].startswith("unreadable image: ")


def test_a_prepared_image_says_that_it_was_stretched(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 4095]], np.uint16)).save(tmp_path / "a.png")
    prepared = PreparedImages([str(tmp_path / "a.png")], Preparation(geometry("squash", 16, 16), MEAN, STD))
    assert [item.stretched for item in DataLoader(prepared, batch_size=None)] == ["I;16"]


@pytest.mark.parametrize("size", [(1, 30_000), (60_000, 1), (100, 7000)])
def test_a_picture_of_extreme_sides_is_left_out_before_it_is_resized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    Image.new("L", size).save(tmp_path / "a.png")
    shorter = Preparation(Geometry(resize="shorter-side", size=256, crop=224, interpolation="bilinear"), MEAN, STD)
    with monkeypatch.context() as patch:
        patch.setattr("torchvision.transforms.functional.resize", lambda *given: pytest.fail("it was resized"))
        said = PreparedImages([str(tmp_path / "a.png")], shorter)[0]
    assert said.startswith(f"extreme sides: {size[0]} x {size[1]} pixels would become ")
    assert PreparedImages([str(tmp_path / "a.png")], Preparation(geometry("squash", 16, 16), MEAN, STD))[0].size == size


def test_a_panorama_is_prepared(tmp_path: Path) -> None:
    Image.new("L", (6000, 100)).save(tmp_path / "a.png")
    shorter = Preparation(Geometry(resize="shorter-side", size=256, crop=224, interpolation="bilinear"), MEAN, STD)
    assert PreparedImages([str(tmp_path / "a.png")], shorter)[0].tensor.shape == (3, 224, 224)


def test_what_libraries_say_of_a_damaged_tiff_is_not_printed(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    noise(300, 300).save(tmp_path / "a.tif", compression="tiff_lzw")
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[400:460] = b"\xff" * 60
    (tmp_path / "a.tif").write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"^unreadable image: "):
        read_picture(str(tmp_path / "a.tif"))
    os.write(2, b"heard again")
    assert capfd.readouterr().err == "heard again"
