"""Image files that are no sound images, and some that only look strange."""

import os
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from bad_kinds import Kind
from PIL import Image

from reciprocam_bench.datasets.dataset import list_images
from reciprocam_bench.datasets.images import Preparation, PreparedImages
from reciprocam_bench.protocols.protocol import Geometry

PREPARE = Preparation(
    Geometry(resize="shorter-side", size=64, crop=56, interpolation="bilinear"), (0.5,) * 3, (0.2,) * 3
)


def tried(path: Path) -> str:
    """What becomes of an image file: the reason why it is left out, or how it is taken."""
    images, skipped = list_images(path.parent)
    if skipped:
        return skipped[0][1]
    found = PreparedImages([str(images[0][1])], PREPARE)[0]
    if isinstance(found, str):
        return found
    stretched = f", stretched from mode {found.stretched}" if found.stretched else ""
    return f"taken: {found.size[0]} x {found.size[1]} pixels{stretched}"


def made(what: str, told: str, make: Callable[[Path], object], name: str = "a.png") -> Kind:
    """An image file that ``make`` makes."""

    def tell(folder: Path) -> str:
        make(folder / name)
        return tried(folder / name)

    return Kind(what, told, tell)


def holds(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def is_(image: Image.Image, **options: object) -> Callable[[Path], object]:
    return lambda path: image.save(path, **options)


def jpeg() -> bytes:
    buffer = BytesIO()
    Image.effect_noise((80, 80), 50).save(buffer, "JPEG")
    return buffer.getvalue()


def header(width: int, height: int) -> bytes:
    """A PNG of any size, of which only the beginning is there."""
    about = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = struct.pack(">I", 99) + b"IDAT"  # promised, not there
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + about + struct.pack(">I", zlib.crc32(about)) + pixels


def damaged_tiff(path: Path) -> None:
    Image.effect_noise((200, 200), 50).save(path, compression="tiff_lzw")
    content = bytearray(path.read_bytes())
    content[400:460] = b"\xff" * 60
    path.write_bytes(bytes(content))


def animated(path: Path) -> None:
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])


GREY = Image.effect_noise((40, 30), 50)
DEEP = Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40))
NAN = Image.fromarray(np.array([[0, np.nan]], np.float32))
UNREADABLE = "unreadable image: "
IMAGES = [
    made("a file cut short", f"{UNREADABLE}image file is truncated", holds(jpeg()[:-600]), "a.jpg"),
    made("an empty file", f"{UNREADABLE}of no format that Pillow knows", holds(b"")),
    made("text", f"{UNREADABLE}of no format that Pillow knows", holds(b"no image")),
    made(
        "HTML named like an image",
        f"{UNREADABLE}of no format that Pillow knows",
        holds(b"<html><script>x</script></html>"),
    ),
    made(
        "SVG named like an image",
        f"{UNREADABLE}of no format that Pillow knows",
        holds(b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    ),
    made("a heading without pixels", UNREADABLE, holds(header(40, 40))),
    made(
        "a bomb: 100,000 x 100,000 pixels in 41 bytes",
        f"{UNREADABLE}Image size \\(10000000000 pixels\\) exceeds limit",
        holds(header(100_000, 100_000)),
    ),
    made(
        "extreme sides, 1 x 30,000 pixels",
        "extreme sides: 1 x 30000 pixels would become 64 x 1920000",
        is_(Image.new("L", (1, 30_000))),
    ),
    made(
        "extreme sides, 60,000 x 1 pixels",
        "extreme sides: 60000 x 1 pixels would become 3840000 x 64",
        is_(Image.new("L", (60_000, 1))),
    ),
    made("a damaged TIFF", f"{UNREADABLE}", damaged_tiff, "a.tif"),
    made("floats with NaN", f"{UNREADABLE}it holds NaN or infinite values", is_(NAN), "a.tiff"),
    made("a named pipe", "is no regular file", os.mkfifo),
    made("a folder named like an image", "is a folder", Path.mkdir),
    made("a link to a device", "is no regular file", lambda path: path.symlink_to("/dev/zero")),
    made("a link to nothing", "does not exist", lambda path: path.symlink_to("nowhere.png")),
    made("a link to itself", "cannot be read: Too many levels of symbolic links", lambda path: path.symlink_to(path)),
    made("1 x 1 pixel", "taken: 1 x 1 pixels", is_(Image.new("RGB", (1, 1)))),
    made("CMYK", "taken: 40 x 30 pixels", is_(GREY.convert("CMYK")), "a.jpg"),
    made("grey", "taken: 40 x 30 pixels", is_(GREY)),
    made("a palette with transparency", "taken: 40 x 30 pixels", is_(GREY.convert("P"), transparency=0)),
    made("16-bit grey", "taken: 40 x 30 pixels, stretched from mode I;16", is_(DEEP)),
    made("several frames", "taken: 9 x 9 pixels", animated, "a.gif.webp"),
    made("a name of 255 bytes", "taken: 40 x 30 pixels", is_(GREY), f"{'x' * 251}.png"),
    made("a name with a line break", "taken: 40 x 30 pixels", is_(GREY), "a\nb.png"),
    made("a name that is no UTF-8", "taken: 40 x 30 pixels", is_(GREY), os.fsdecode(b"a\xff.png")),
    made("a name that is a formula", "taken: 40 x 30 pixels", is_(GREY), "=1+1.png"),
]
GROUPS = {"Images": IMAGES}
