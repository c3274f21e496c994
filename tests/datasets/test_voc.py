"""PASCAL VOC folders made by hand, and the real subset."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from PIL import Image

from reciprocam_bench.config import DatasetConfig
from reciprocam_bench.datasets.dataset import Box
from reciprocam_bench.datasets.registry import load_dataset
from reciprocam_bench.datasets.targets import area_share, object_mask
from reciprocam_bench.datasets.voc import voc
from reciprocam_bench.errors import UserError


def _object(name, box, difficult=0):
    corners = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{corners}</bndbox></object>"


@pytest.fixture
def devkit(tmp_path):
    base = tmp_path / "VOCdevkit" / "VOC2007"
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (base / folder).mkdir(parents=True)

    def add(name, *objects, size=(100, 50), image=True):
        if image:
            Image.new("RGB", size).save(base / "JPEGImages" / f"{name}.jpg")
        header = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
        (base / "Annotations" / f"{name}.xml").write_text(f"<annotation>{header}{''.join(objects)}</annotation>")
        with (base / "ImageSets/Main/test.txt").open("a") as file:
            file.write(f"{name}\n")

    add.root = tmp_path / "VOCdevkit"
    add.base = base
    return add


def test_a_byte_order_mark_costs_no_image(devkit):
    devkit("000001", _object("dog", (1, 1, 10, 20)))
    split = devkit.base / "ImageSets/Main/test.txt"
    split.write_bytes(b"\xef\xbb\xbf" + split.read_bytes())
    found = voc(root=str(devkit.root))
    assert [sample.id for sample in found.samples] == ["000001.jpg"] and found.skipped == []


def test_boxes_are_one_based_inclusive_in_the_file(devkit):
    devkit("000001", _object("dog", (1, 1, 10, 20)))
    (sample,) = voc(root=str(devkit.root)).samples
    (target,) = sample.targets
    assert target.boxes == (Box(0, 0, 10, 20),)
    assert object_mask(target, 100, 50).sum() == 200


@pytest.mark.parametrize("root", ["", "..", "VOC2007"])
def test_root_may_be_the_devkit_or_its_neighbours(devkit, root):
    devkit("000001", _object("dog", (1, 1, 10, 20)))
    assert len(voc(root=str(devkit.root / root)).samples) == 1


def test_a_class_with_one_difficult_box_of_two_keeps_both_in_its_mask(devkit):
    dogs = [_object("dog", (1, 1, 10, 10)), _object("dog", (11, 1, 20, 10), 1)]
    devkit("000001", *dogs, _object("cat", (1, 1, 5, 5), 1))
    dataset = voc(root=str(devkit.root))
    cat, dog = dataset.samples[0].targets
    assert dog.category == "dog" and not dog.difficult and object_mask(dog, 100, 50).sum() == 200
    assert cat.difficult
    assert ("000001.jpg", "'cat': every object is difficult") in dataset.skipped


def test_the_difficult_subset_needs_a_small_object_and_company(devkit):
    devkit("000001", _object("dog", (1, 1, 10, 10)), _object("sofa", (1, 1, 100, 40)))
    devkit("000002", _object("dog", (1, 1, 10, 10)))
    dataset = voc(root=str(devkit.root))
    assert dataset.hard_by == "rule"
    assert [[t.hard for t in s.targets] for s in dataset.samples] == [[True, False], [False]]
    assert area_share(dataset.samples[0].targets[1]) == pytest.approx(0.8)


def test_the_area_is_that_of_the_union(devkit):
    devkit("000001", _object("dog", (1, 1, 50, 20)), _object("dog", (1, 1, 50, 20)))
    assert area_share(voc(root=str(devkit.root)).samples[0].targets[0]) == pytest.approx(0.2)


def test_a_flag_file_decides_instead_and_an_absent_pair_is_difficult(devkit, tmp_path):
    devkit("000001", _object("dog", (1, 1, 100, 50)), _object("cat", (1, 1, 10, 10)))
    devkit("000002", _object("dog", (1, 1, 100, 50)))
    flags = tmp_path / "flags.csv"
    flags.write_text("image,dog,cat\n000001.jpg,0,1\n")
    dataset = voc(root=str(devkit.root), difficult=str(flags))
    assert dataset.hard_by == "file"
    assert {(s.id, t.category): t.hard for s in dataset.samples for t in s.targets} == {
        ("000001.jpg", "dog"): False,
        ("000001.jpg", "cat"): True,
        ("000002.jpg", "dog"): True,
    }


@pytest.mark.parametrize("text", ["", "name,dog\n1,0\n", "image,dog\n1,yes\n"])
def test_a_bad_flag_file_is_named(devkit, tmp_path, text):
    devkit("000001", _object("dog", (1, 1, 10, 10)))
    (tmp_path / "flags.csv").write_text(text)
    with pytest.raises(UserError, match=r"dataset.difficult: .*flags.csv"):
        voc(root=str(devkit.root), difficult=str(tmp_path / "flags.csv"))


def test_a_pipe_is_never_opened(devkit, tmp_path, make_pipe):
    devkit("000001", _object("dog", (1, 1, 10, 10)))
    devkit("000002", image=False)
    make_pipe(devkit.base / "JPEGImages/000002.jpg")
    make_pipe(tmp_path / "pipe")
    dataset = voc(root=str(devkit.root))
    assert [s.id for s in dataset.samples] == ["000001.jpg"]
    assert dataset.skipped == [
        ("000002.jpg", "listed, but the image file is no regular file (a pipe, socket or device)")
    ]
    with pytest.raises(UserError, match=r"^dataset.difficult: .*pipe is no regular file"):
        voc(root=str(devkit.root), difficult=str(tmp_path / "pipe"))
    make_pipe(devkit.base / "ImageSets/Main/val.txt")
    with pytest.raises(UserError, match=r"val.txt is no regular file .*; set dataset.split"):
        voc(root=str(devkit.root), split="val")


def test_what_cannot_be_used_is_skipped_with_its_reason(devkit):
    devkit("000001", _object("dog", (1, 1, 10, 10)))
    devkit("000002", image=False)
    outside, empty = _object("dog", (90, 40, 300, 300)), _object("cat", (7, 7, 6, 9))
    devkit("000003", _object("unicorn", (1, 1, 5, 5)), outside, empty)
    devkit("000004")
    (devkit.base / "Annotations/000004.xml").unlink()
    devkit("000005")
    (devkit.base / "Annotations/000005.xml").write_text("<annotation><size>")
    devkit("000006")
    bomb = '<!DOCTYPE a [<!ENTITY x "xxxx"><!ENTITY y "&x;&x;">]><annotation>&y;</annotation>'
    (devkit.base / "Annotations/000006.xml").write_text(bomb)
    dataset = voc(root=str(devkit.root))
    assert [s.id for s in dataset.samples] == ["000001.jpg", "000003.jpg"]
    assert dataset.samples[1].targets[0].boxes == (Box(89, 39, 100, 50),)
    reasons = dict(dataset.skipped)
    assert reasons["000002.jpg"] == "listed, but the image file does not exist"
    assert reasons["000004.jpg"] == "annotation file does not exist"
    assert "malformed" in reasons["000005.jpg"] and "refused" in reasons["000006.jpg"]
    of_third = [reason for image, reason in dataset.skipped if image == "000003.jpg"]
    assert any("unicorn" in r for r in of_third) and any("no area" in r for r in of_third)


def test_an_unknown_split_or_year_says_what_to_do(devkit):
    devkit("000001", _object("dog", (1, 1, 10, 10)))
    with pytest.raises(UserError, match=r"tset.txt does not exist; set dataset.split; did you mean 'test'"):
        voc(root=str(devkit.root), split="tset")
    with pytest.raises(UserError, match="VOC2012"):
        voc(root=str(devkit.base / "JPEGImages"), year=2012)


def test_a_split_with_nothing_usable_is_an_error(devkit):
    devkit("000001", image=False)
    config = DatasetConfig.model_validate({"name": "voc", "root": str(devkit.root)})
    with pytest.raises(UserError, match="no images"):
        load_dataset(config)


def test_the_real_subset_has_the_objects_its_files_list(data):
    dataset = voc(root=str(data / "VOCdevkit"))
    assert dataset.name == "voc2007-test" and len(dataset.samples) == 225
    annotations = Path(data / "VOCdevkit/VOC2007/Annotations")
    listed = sum(len(ElementTree.parse(annotations / f"{s.path.stem}.xml").findall("object")) for s in dataset.samples)
    assert sum(len(t.boxes) for s in dataset.samples for t in s.targets) == listed
    for category in ("car", "person", "cat"):
        lines = (data / f"VOCdevkit/VOC2007/ImageSets/Main/{category}_test.txt").read_text().split()
        flags = dict(zip(lines[::2], map(int, lines[1::2]), strict=True))
        for sample in dataset.samples:
            target = next((t for t in sample.targets if t.category == category), None)
            assert flags[sample.path.stem] == (-1 if target is None else 0 if target.difficult else 1)
