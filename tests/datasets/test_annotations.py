"""Box annotations: coordinates, clipping, what is dropped, and what is refused."""

from pathlib import Path

import pytest

from reciprocam_bench.datasets.annotations import read_annotation
from reciprocam_bench.datasets.dataset import Box

SIZE = "<size><width>100</width><height>50</height><depth>3</depth></size>"


def thing(xmin: object, ymin: object, xmax: object, ymax: object, name: str = "n01440764", more: str = "") -> str:
    corners = zip(("xmin", "ymin", "xmax", "ymax"), (xmin, ymin, xmax, ymax), strict=True)
    box = "".join(f"<{key}>{value}</{key}>" for key, value in corners)
    return f"<object><name>{name}</name>{more}<bndbox>{box}</bndbox></object>"


def write(folder: Path, *objects: str, size: str = SIZE) -> Path:
    path = folder / "a.xml"
    path.write_text(f"<annotation>{size}{''.join(objects)}</annotation>", encoding="utf-8")
    return path


def test_pixels_counted_from_1_become_0_based_with_an_exclusive_end(tmp_path: Path) -> None:
    annotation = read_annotation(write(tmp_path, thing(1, 1, 100, 50), thing(11, 21, 11, 21)))
    assert [o.box for o in annotation.objects] == [Box(0, 0, 100, 50), Box(10, 20, 11, 21)]
    assert (annotation.width, annotation.height, annotation.dropped) == (100, 50, [])


def test_boxes_are_clipped_to_the_image(tmp_path: Path) -> None:
    annotation = read_annotation(write(tmp_path, thing(-5, 0, 300, 51)))
    assert annotation.objects[0].box == Box(0, 0, 100, 50)


@pytest.mark.parametrize(
    "corners", [(20, 5, 10, 9), (20, 5, 19, 9), (150, 1, 160, 9), (1, 60, 9, 70), ("nan", 1, 9, 9)]
)
def test_boxes_without_area_in_the_image_are_dropped_with_a_reason(tmp_path: Path, corners: tuple) -> None:
    annotation = read_annotation(write(tmp_path, thing(*corners, name="cat"), thing(1, 1, 2, 2)))
    assert [o.name for o in annotation.objects] == ["n01440764"]
    assert annotation.dropped == ["a box of 'cat' has no area inside the image"]


def test_names_fractions_and_the_difficult_flag(tmp_path: Path) -> None:
    parts = "<part><name>head</name><bndbox><xmin>3</xmin></bndbox></part>"
    hard = thing(1.5, 2, 9.25, 9, name=" dog ", more="<difficult> 1 </difficult>")
    annotation = read_annotation(write(tmp_path, hard, thing(1, 1, 2, 2).replace("</object>", f"{parts}</object>")))
    assert [(o.name, o.difficult) for o in annotation.objects] == [("dog", True), ("n01440764", False)]
    assert annotation.objects[0].box == Box(0.5, 1, 9.25, 9)


def test_an_image_without_objects_is_no_error(tmp_path: Path) -> None:
    assert read_annotation(write(tmp_path)).objects == []


@pytest.mark.parametrize(
    "content, reason",
    [
        ('<!DOCTYPE a [<!ENTITY x "y">]><annotation>&x;</annotation>', "document type or entities; refused"),
        ('<!DOCTYPE a SYSTEM "http://example.org/a.dtd"><annotation/>', "document type or entities; refused"),
        ("<annotation><size></annotation>", "malformed"),
        ("", "malformed"),
        ("not xml", "malformed"),
        ("<annotation/>", "no image size"),
        (f"<annotation>{SIZE.replace('100', '0')}</annotation>", "no image size"),
        (f"<annotation>{SIZE.replace('100', 'wide')}</annotation>", "malformed"),
        (f"<annotation>{SIZE.replace('100', 'nan')}</annotation>", "malformed"),
        (f"<annotation>{SIZE.replace('100', '1e999')}</annotation>", "malformed"),
        (f"<annotation>{SIZE}{thing('', 1, 2, 3)}</annotation>", "malformed"),
        (f"<annotation>{SIZE}<object><name>x</name></object></annotation>", "malformed"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "a.xml"
    path.write_text(content)
    with pytest.raises(ValueError, match=reason):
        read_annotation(path)


def test_a_missing_file_a_folder_a_pipe_and_bytes_that_are_no_text(tmp_path: Path, make_pipe) -> None:
    with pytest.raises(ValueError, match="annotation file does not exist"):
        read_annotation(tmp_path / "none.xml")
    with pytest.raises(ValueError, match="annotation file is a folder"):
        read_annotation(tmp_path)
    make_pipe(tmp_path / "pipe.xml")
    with pytest.raises(ValueError, match="annotation file is no regular file"):
        read_annotation(tmp_path / "pipe.xml")
    (tmp_path / "a.xml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="cannot be read"):
        read_annotation(tmp_path / "a.xml")
