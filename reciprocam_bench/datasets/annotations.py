"""Read PASCAL-style box annotations, as ImageNet and PASCAL VOC use them."""

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from reciprocam_bench.datasets.dataset import Box
from reciprocam_bench.regular import not_a_file

LARGEST = 20_000  # pixels a side; a hostile size would otherwise ask for masks of any size


@dataclass(frozen=True)
class AnnotatedObject:
    """One annotated object: its name (a wnid or a category), box and VOC flag."""

    name: str
    box: Box
    difficult: bool


@dataclass(frozen=True)
class Annotation:
    """The objects of one image, and the image size the boxes were drawn on (pixels)."""

    width: int
    height: int
    objects: list[AnnotatedObject]
    dropped: list[str]


def read_annotation(path: Path) -> Annotation:
    """Read one XML file; boxes are clipped to the image, and ones without area are dropped with a reason.

    Raises ``ValueError`` with a short reason if the file cannot be used. Document type declarations are refused, so
    entities, and with them expansion attacks, cannot occur.
    """
    if reason := not_a_file(path):
        raise ValueError(f"annotation file {reason}")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"annotation cannot be read: {error}") from None
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("annotation declares a document type or entities; refused")
    try:
        root = ElementTree.fromstring(text)
        width, height = (round(float(root.findtext(f"size/{side}", "0"))) for side in ("width", "height"))
        objects, dropped = [], []
        for node in root.iter("object"):
            name = (node.findtext("name") or "").strip()
            box = _clip(_corners(node), width, height)
            if box is None:
                dropped.append(f"a box of '{name}' has no area inside the image")
            else:
                objects.append(AnnotatedObject(name, box, (node.findtext("difficult") or "0").strip() == "1"))
    except (ElementTree.ParseError, ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"annotation is malformed: {error}") from None
    if not (0 < width <= LARGEST and 0 < height <= LARGEST):
        raise ValueError("annotation gives no image size, or an impossible one")
    return Annotation(width, height, objects, dropped)


def _corners(node: ElementTree.Element) -> Box:
    xmin, ymin, xmax, ymax = (float(node.findtext(f"bndbox/{key}") or "") for key in ("xmin", "ymin", "xmax", "ymax"))
    # VOC counts pixels from 1 and includes the last one.
    return Box(xmin - 1, ymin - 1, xmax, ymax)


def _clip(box: Box, width: int, height: int) -> Box | None:
    clipped = Box(max(box.left, 0), max(box.top, 0), min(box.right, width), min(box.bottom, height))
    return clipped if clipped.right > clipped.left and clipped.bottom > clipped.top else None
