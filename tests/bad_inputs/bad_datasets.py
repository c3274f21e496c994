"""Bad annotations, label files and lists of data sets."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bad_kinds import Kind, refusal
from PIL import Image

from reciprocam_bench.config import SubsetConfig
from reciprocam_bench.datasets.annotations import read_annotation
from reciprocam_bench.datasets.coco import coco
from reciprocam_bench.datasets.folder import folder as plain
from reciprocam_bench.datasets.labels import read_label_file
from reciprocam_bench.datasets.subset import take_subset
from reciprocam_bench.datasets.voc import voc
from reciprocam_bench.errors import UserError

SIZE = "<size><width>60</width><height>40</height></size>"
SQUARE = [[10, 10, 30, 10, 30, 20, 10, 20]]
BOMB = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><annotation>&b;</annotation>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotation>&a;</annotation>'


def xml(what: str, told: str, content: str | bytes) -> Kind:
    """The boxes of an image."""

    def tell(folder: Path) -> str:
        (folder / "a.xml").write_bytes(content if isinstance(content, bytes) else content.encode())
        try:
            found = read_annotation(folder / "a.xml")
        except ValueError as error:
            return str(error)
        return f"left out: {found.dropped[0]}" if found.dropped else f"taken: {len(found.objects)} objects"

    return Kind(what, told, tell)


def box(name: str, *corners: object) -> str:
    places = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))
    return f"<annotation>{SIZE}<object><name>{name}</name><bndbox>{places}</bndbox></object></annotation>"


def instances(folder: Path, content: str) -> str:
    """What COCO's loader says of an instances file: why it is refused, or what of it is left out."""
    (folder / "annotations").mkdir()
    (folder / "val2014").mkdir()
    for name in ("outside.jpg", "val2014/a.jpg"):
        Image.new("RGB", (60, 40)).save(folder / name)
    (folder / "annotations/instances_val2014.json").write_text(content)
    try:
        skipped = coco(root=str(folder)).skipped
    except UserError as error:
        return f"refused: {error}"
    return f"left out: {skipped[0][1]}" if skipped else "taken"


def image(told: str, what: str, **changes: Any) -> Kind:
    """An image of an instances file."""
    record = {"id": 1, "file_name": "a.jpg", "width": 60, "height": 40} | changes
    record = {key: value for key, value in record.items() if value is not None}
    content = json.dumps({"images": [record], "annotations": [], "categories": [{"id": 1, "name": "cat"}]})
    return Kind(what, told, lambda folder: instances(folder, content))


def mask(told: str, what: str, segmentation: Any, **changes: Any) -> Kind:
    """An object of an instances file."""
    found = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 1, "bbox": [1, 1, 20, 20]}
    images = [{"id": 1, "file_name": "a.jpg", "width": 60, "height": 40}]
    content = {"images": images, "annotations": [found | {"segmentation": segmentation} | changes]}
    text = json.dumps(content | {"categories": [{"id": 1, "name": "cat"}]})
    return Kind(what, told, lambda folder: instances(folder, text))


def whole(told: str, what: str, content: str) -> Kind:
    """An instances file of this content."""
    return Kind(what, told, lambda folder: instances(folder, content))


def voc_list(folder: Path) -> str:
    base = folder / "VOC2007"
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (base / name).mkdir(parents=True)
    (base / "ImageSets/Main/test.txt").write_text("../../outside\n")
    return f"left out: {voc(root=str(folder)).skipped[0][1]}"


def labels(content: str) -> Callable[[Path], str]:
    def tell(folder: Path) -> str:
        (folder / "labels.txt").write_text(content)
        return refusal(lambda: read_label_file(str(folder / "labels.txt")))

    return tell


def subset(folder: Path) -> str:
    (folder / "pictures").mkdir()
    Image.new("RGB", (4, 4)).save(folder / "pictures/a.png")
    (folder / "list.txt").write_text("../../a.png\n")
    chosen = SubsetConfig.model_validate({"file": str(folder / "list.txt")})
    return refusal(lambda: take_subset(plain(root=str(folder / "pictures")), chosen, 0))


XML = [
    xml("an XML bomb", "annotation declares a document type or entities; refused", BOMB),
    xml("an external entity", "annotation declares a document type or entities; refused", OUTSIDE),
    xml("an entity in UTF-16", "annotation", OUTSIDE.encode("utf-16")),
    xml("an empty file", "annotation is malformed", ""),
    xml("no XML", "annotation is malformed", "not xml"),
    xml("nesting of 100,000 levels", "annotation ", "<a>" * 100_000 + "</a>" * 100_000),
    xml("no size", "annotation gives no image size", "<annotation/>"),
    xml(
        "a size of 10^9 pixels",
        "annotation gives no image size, or an impossible one",
        f"<annotation>{SIZE.replace('60', '1000000000')}</annotation>",
    ),
    xml(
        "a size that is no number", "annotation is malformed", f"<annotation>{SIZE.replace('60', 'wide')}</annotation>"
    ),
    xml("an infinite size", "annotation is malformed", f"<annotation>{SIZE.replace('60', '1e999')}</annotation>"),
    xml("a box without area", "left out: a box of 'cat' has no area inside the image", box("cat", 20, 5, 10, 9)),
    xml("a box of NaN", "left out: a box of 'cat' has no area", box("cat", "nan", "nan", "nan", "nan")),
    xml("a box outside", "left out: a box of 'cat' has no area", box("cat", 100, 100, 120, 120)),
    xml("a box that is no number", "annotation is malformed", box("cat", "", 1, 2, 3)),
    Kind(
        "a name in the image list that leaves the folder",
        "left out: listed, but its name leaves the image folder; refused",
        voc_list,
    ),
]
COCO = [
    whole(r"refused: annotations/instances_val2014\.json: not readable as JSON", "no JSON", "#"),
    whole(r"refused: annotations/instances_val2014\.json: this is no COCO instances file", "a list", "[1, 2]"),
    whole(
        r"refused: annotations/instances_val2014\.json: not readable as JSON: nested too deeply",
        "nesting of 100,000 levels",
        "[" * 100_000,
    ),
    whole(
        "refused: .*this is no COCO instances file",
        "a list where a mapping belongs",
        '{"images": {"a": 1}, "annotations": [1], "categories": 5}',
    ),
    image("refused: .*'id' is missing|refused: .*this is no COCO", "an image without its id", id=None),
    image(
        "left out: listed, but its file_name leaves the image folder; refused",
        "`file_name: ../outside.jpg`",
        file_name="../outside.jpg",
    ),
    image(
        "left out: listed, but its file_name leaves the image folder; refused",
        "`file_name: /etc/passwd`",
        file_name="/etc/passwd",
    ),
    image("left out: listed, but the image file ", "a NUL in a `file_name`", file_name="a\0.jpg"),
    image("refused: .*this is no COCO instances file", "a `file_name` that is a number", file_name=5),
    image("left out: its size is given as 1000000000 x 40", "a width of 10^9", width=10**9),
    image("refused: .*this is no COCO instances file", "a width that is no number", width="wide"),
    image("refused: .*this is no COCO instances file", "an infinite width", width=float("inf")),
    mask(
        "left out: 'cat': its segmentation cannot be read .*fill 100 pixels, the image has 2,400",
        "run lengths that end early",
        {"size": [40, 60], "counts": [0, 100]},
    ),
    mask(
        "left out: 'cat': its segmentation cannot be read .*fill 5,000 pixels",
        "run lengths beyond the image",
        {"size": [40, 60], "counts": [0, 5000]},
    ),
    mask(
        "left out: 'cat': its segmentation cannot be read .*no whole numbers from 0 on",
        "negative run lengths",
        {"size": [40, 60], "counts": [0, 2405, -5]},
    ),
    mask(
        "left out: 'cat': its segmentation cannot be read",
        "packed run lengths that are rubbish",
        {"size": [40, 60], "counts": "999999999999999999"},
    ),
    mask(
        "left out: 'cat': its segmentation cannot be read .*not packed as COCO",
        "packed run lengths of other letters",
        {"size": [40, 60], "counts": "\x7f\x01 z"},
    ),
    mask(
        "left out: 'cat': its segmentation cannot be read .*another image size",
        "run lengths of another image",
        {"size": [60, 40], "counts": [0, 2400]},
    ),
    mask("left out: 'cat': its segmentation cannot be read", "a polygon of one point", [[1, 2]]),
    mask("left out: 'cat': its segmentation cannot be read", "a polygon of words", [["a", "b", "c", "d", "e", "f"]]),
    mask("left out: 'cat': its objects have no area", "a box without area", SQUARE, bbox=[1, 1, 0, 0]),
    mask("left out: category id 7 is not in the file", "an unknown category", SQUARE, category_id=7),
]
LISTS = [
    Kind("an empty label file", r"label file labels\.txt is empty", labels("")),
    Kind(
        "a label that is none",
        r"labels\.txt, line 2: 'cat' is neither a wnid nor a class index",
        labels("a.png 1\nb.png cat\n"),
    ),
    Kind("a label without an image", r"labels\.txt, line 1: write 'image label'", labels("a.png\n")),
    Kind("a class index of 10^12", r"labels\.txt, line 1: ", labels("1000000000000\n")),
    Kind(
        "a subset that names another image",
        r"dataset\.subset\.file: list\.txt, line 1: '\.\./\.\./a\.png' is not in the data set",
        subset,
    ),
]
GROUPS = {"XML annotations (VOC, ImageNet)": XML, "COCO instances": COCO, "Label files and lists": LISTS}
