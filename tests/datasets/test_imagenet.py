"""ImageNet's validation images in every layout users have."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from reciprocam_bench.config import DatasetConfig
from reciprocam_bench.datasets.dataset import Box, Dataset, imagenet_wnids
from reciprocam_bench.datasets.registry import load_dataset
from reciprocam_bench.errors import UserError

CLASSES = ("n01440764", "n02099601", "n07747607")
VAL = "ILSVRC2012_val_0000000"


def _boxes(sample):
    return tuple(box for target in sample.targets for box in target.boxes)


def pictures(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(folder / name, format="JPEG")
    return folder


def load(root: Path, **options: object) -> Dataset:
    return load_dataset(DatasetConfig(name="imagenet", root=str(root), **options))


def labels(dataset: Dataset) -> dict[str, int | None]:
    return {s.id: s.label for s in dataset.samples}


def annotate(path: Path, *objects: tuple[str, tuple[int, int, int, int]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tags = ("xmin", "ymin", "xmax", "ymax")
    inner = "".join(
        f"<object><name>{name}</name><bndbox>"
        + "".join(f"<{tag}>{value}</{tag}>" for tag, value in zip(tags, corners, strict=True))
        + "</bndbox></object>"
        for name, corners in objects
    )
    path.write_text(f"<annotation><size><width>100</width><height>50</height></size>{inner}</annotation>")


@pytest.mark.parametrize("place", ["", "val", "validation", "ILSVRC2012_img_val", "ILSVRC/Data/CLS-LOC/val"])
def test_class_index_comes_from_the_wnid_not_from_its_rank(tmp_path: Path, place: str) -> None:
    pictures(tmp_path / place, *(f"{wnid}/x.JPEG" for wnid in CLASSES), "n01440764/b.jpg", "n01440764/.hidden.jpg")
    dataset = load(tmp_path)
    assert labels(dataset) == {"n01440764/b.jpg": 0, "n01440764/x.JPEG": 0, "n02099601/x.JPEG": 207} | {
        "n07747607/x.JPEG": 950
    }
    assert dataset.skipped == []


def test_only_regular_files_are_images(tmp_path: Path, make_pipe) -> None:
    pictures(tmp_path / "classes", "n01440764/b.jpg", "n01440764/dir.jpg/a.jpg")
    make_pipe(tmp_path / "classes/n01440764/pipe.jpg")
    dataset = load(tmp_path / "classes")
    assert list(labels(dataset)) == ["n01440764/b.jpg", "n01440764/dir.jpg/a.jpg"]
    pipe = ("pipe.jpg", "is no regular file (a pipe, socket or device)")
    assert dataset.skipped == [("n01440764/dir.jpg", "is a folder"), (f"n01440764/{pipe[0]}", pipe[1])]
    flat = pictures(tmp_path / "flat", "a.jpg")
    make_pipe(flat / "pipe.jpg")
    (tmp_path / "labels.csv").write_text("a.jpg,3\npipe.jpg,4\n")
    dataset = load(flat)
    assert (labels(dataset), dataset.skipped) == ({"a.jpg": 3}, [pipe])
    (tmp_path / "labels.csv").unlink()
    make_pipe(tmp_path / "labels.csv")
    with pytest.raises(UserError, match=r"^label file .*labels.csv is no regular file .*; correct the path$"):
        load(flat, labels=str(tmp_path / "labels.csv"))


def test_all_thousand_wnids_are_known_in_sorted_order() -> None:
    assert list(imagenet_wnids()) == sorted(imagenet_wnids())
    assert list(imagenet_wnids().values()) == list(range(1000))


def test_flat_images_with_kaggles_solution_file(tmp_path: Path) -> None:
    pictures(tmp_path / "ILSVRC/Data/CLS-LOC/val", *(f"{VAL}{i}.JPEG" for i in (1, 2, 3)))
    (tmp_path / "LOC_val_solution.csv").write_text(
        f"ImageId,PredictionString\n{VAL}3,n07747607 1 1 9 9 \n{VAL}1,n02099601 1 1 9 9 n02099601 2 2 3 3 \n"
    )
    for root in (tmp_path, tmp_path / "ILSVRC"):
        dataset = load(root)
        assert labels(dataset) == {f"{VAL}1.JPEG": 207, f"{VAL}3.JPEG": 950}
        assert dataset.skipped == [(f"{VAL}2.JPEG", "not in the label file")]


@pytest.mark.parametrize("place", ["ILSVRC2012_devkit_t12/data", "data", ""])
def test_flat_images_with_the_devkit(tmp_path: Path, place: str) -> None:
    pictures(tmp_path / "val", *(f"{VAL}{i}.JPEG" for i in (1, 2, 3)))
    devkit = tmp_path / place
    devkit.mkdir(parents=True, exist_ok=True)
    numbered = np.array(
        [(1, "n07747607"), (2, "n01440764"), (3, "n02099601")], dtype=[("ILSVRC2012_ID", "O"), ("WNID", "O")]
    )
    savemat(devkit / "meta.mat", {"synsets": numbered})
    (devkit / "ILSVRC2012_validation_ground_truth.txt").write_text("3\n1\n2\n")
    assert labels(load(tmp_path)) == {f"{VAL}1.JPEG": 207, f"{VAL}2.JPEG": 950, f"{VAL}3.JPEG": 0}


def test_flat_images_with_a_label_file_given(tmp_path: Path) -> None:
    root = pictures(tmp_path / "val images", "a.JPEG", "b.JPEG")
    (tmp_path / "mine.txt").write_text("a.JPEG 3\nb.JPEG n02099601\n")
    assert labels(load(root, labels=str(tmp_path / "mine.txt"))) == {"a.JPEG": 3, "b.JPEG": 207}


def test_flat_images_without_labels_say_what_is_needed(tmp_path: Path) -> None:
    root = pictures(tmp_path / "a/b", "a.JPEG")
    with pytest.raises(UserError, match=r"in no class folders, and no label file was found .* set dataset.labels"):
        load(root)


def test_a_label_file_that_does_not_exist_is_a_mistake_in_class_folders_too(tmp_path: Path) -> None:
    root = pictures(tmp_path, "n01440764/x.JPEG")
    with pytest.raises(UserError, match=r"label file nowhere.txt does not exist"):
        load(root, labels="nowhere.txt")


def test_same_file_name_in_two_class_folders(tmp_path: Path) -> None:
    root = pictures(tmp_path, "n01440764/x.JPEG", "n07747607/x.JPEG")
    annotate(tmp_path / "bbox/val/x.xml", ("n01440764", (1, 1, 10, 10)))
    samples = load(root).samples
    assert [(s.id, s.label, len(_boxes(s))) for s in samples] == [
        ("n01440764/x.JPEG", 0, 1),
        ("n07747607/x.JPEG", 950, 0),
    ]


@pytest.mark.parametrize("kind", ["empty", "empty class folder", "missing", "file"])
def test_a_root_without_images(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "data"
    if kind == "file":
        root.write_text("x")
    elif kind != "missing":
        (root / ("n01440764" if "class" in kind else "")).mkdir(parents=True)
    with pytest.raises(UserError, match="has no images at" if "empty" in kind else "is not a folder; correct the path"):
        load(root)


@pytest.mark.parametrize("given", [True, False])
def test_boxes_of_the_labelled_class_in_0_based_pixels(tmp_path: Path, given: bool) -> None:
    root = pictures(tmp_path / "root", "n01440764/x.JPEG")
    folder = tmp_path / "xml" if given else root / "Annotations/CLS-LOC/val"
    annotate(
        folder / "x.xml", ("n01440764", (1, 2, 10, 20)), ("n02099601", (1, 1, 5, 5)), ("n01440764", (50, 40, 200, 60))
    )
    dataset = load(root, boxes=str(folder)) if given else load(root)
    assert _boxes(dataset.samples[0]) == (Box(0, 1, 10, 20), Box(49, 39, 100, 50))
    assert dataset.samples[0].targets[0].drawn_on == (100, 50)
    assert dataset.skipped == []


@pytest.mark.parametrize(
    "objects, reason",
    [
        (None, "boxes: annotation file does not exist"),
        ([("n02099601", (1, 1, 5, 5))], "boxes: none of the labelled class"),
        ([("n01440764", (9, 9, 5, 5))], "boxes: a box of 'n01440764' has no area inside the image"),
    ],
)
def test_an_image_without_usable_boxes_stays_and_the_reason_is_kept(tmp_path: Path, objects, reason: str) -> None:
    root = pictures(tmp_path / "root", "n01440764/x.JPEG", "n01440764/good.JPEG")
    annotate(tmp_path / "xml/good.xml", ("n01440764", (1, 1, 5, 5)))
    if objects is not None:
        annotate(tmp_path / "xml/x.xml", *objects)
    dataset = load(root, boxes=str(tmp_path / "xml"))
    assert labels(dataset) == {"n01440764/x.JPEG": 0, "n01440764/good.JPEG": 0}
    assert [s.id for s in dataset.samples if not _boxes(s)] == ["n01440764/x.JPEG"]
    assert dataset.skipped == [("n01440764/x.JPEG", reason)]


def test_a_box_folder_that_is_missing_is_a_mistake(tmp_path: Path) -> None:
    root = pictures(tmp_path, "n01440764/x.JPEG")
    with pytest.raises(UserError, match=r"^dataset.boxes: nowhere is not a folder; correct the path$"):
        load(root, boxes="nowhere")


def test_real_labels_agree_with_the_list_and_every_image_has_boxes(data: Path) -> None:
    with (data / "imagenet_boxes/labels.csv").open() as file:
        truth = {row["file"]: int(row["class_index"]) for row in csv.DictReader(file)}
    dataset = load(data / "imagenet", boxes=str(data / "imagenet_boxes/val"))
    assert len(dataset.samples) >= 500
    assert {s.path.name: s.label for s in dataset.samples} == {s.path.name: truth[s.path.name] for s in dataset.samples}
    assert all(_boxes(s) and s.targets[0].drawn_on == (227, 227) for s in dataset.samples)
    assert dataset.skipped == []


def test_real_images_laid_flat_get_the_same_labels_from_every_list(data: Path, tmp_path: Path) -> None:
    expected = {}
    for path in sorted((data / "imagenet").glob("*/*.JPEG"))[:20]:
        (tmp_path / path.name).symlink_to(path)
        expected[path.name] = imagenet_wnids()[path.parent.name]
    for name in ("labels.csv", "val_labels_50000.txt"):
        assert labels(load(tmp_path, labels=str(data / "imagenet_boxes" / name))) == dict(sorted(expected.items()))


def test_labels_that_are_given_count_before_the_names_of_class_folders(tmp_path: Path) -> None:
    pictures(tmp_path / "images", "n01440764/a.jpg", "n01440764/b.jpg", "n02099601/c.jpg")
    (tmp_path / "labels.csv").write_text("image,label\na.jpg,5\nc.jpg,n01440764\n")
    dataset = load(tmp_path / "images", labels=str(tmp_path / "labels.csv"))
    assert labels(dataset) == {"n01440764/a.jpg": 5, "n02099601/c.jpg": 0}
    assert dataset.skipped == [("n01440764/b.jpg", "not in the label file")]


def test_a_boxes_folder_of_other_images_is_a_mistake(tmp_path: Path) -> None:
    pictures(tmp_path / "images", "n01440764/a.jpg")
    annotate(tmp_path / "boxes/other.xml", ("n01440764", (1, 1, 9, 9)))
    with pytest.raises(UserError, match=r"holds no box of any of the 1 images \(n01440764/a.jpg: .*does not exist\)"):
        load(tmp_path / "images", boxes=str(tmp_path / "boxes"))
