"""A plain folder of images."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torchvision
from PIL import Image

from reciprocam_bench.config import DatasetConfig
from reciprocam_bench.datasets.dataset import Dataset
from reciprocam_bench.datasets.registry import load_dataset
from reciprocam_bench.errors import UserError


def pictures(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(folder / name, format="PNG")
    return folder


def load(root: Path, **options: object) -> Dataset:
    return load_dataset(DatasetConfig(name="folder", root=str(root), **options))


def labels(dataset: Dataset) -> dict[str, int | None]:
    return {s.id: s.label for s in dataset.samples}


def test_images_of_all_depths(tmp_path: Path) -> None:
    root = pictures(tmp_path / "été 1", "b.png", "a/z.JPG", "a/b c.jpeg", ".hidden.png")
    (root / "notes.txt").write_text("x")
    dataset = load(root)
    assert {s.id: s.path for s in dataset.samples} == {name: root / name for name in ("a/b c.jpeg", "a/z.JPG", "b.png")}
    assert all(s.label is None for s in dataset.samples)


def test_only_regular_files_and_links_to_them_are_images(
    tmp_path: Path, make_pipe: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = pictures(tmp_path / "p", "a.png")
    make_pipe(root / "pipe.jpg")
    (root / "folder.png").mkdir()
    (root / "device.bmp").symlink_to("/dev/zero")
    (root / "gone.png").symlink_to("nowhere")
    (root / "loop.png").symlink_to("loop.png")
    (root / "link.jpg").symlink_to("a.png")
    monkeypatch.chdir(root)  # a socket's path may not be long
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.png")
    dataset = load(root)
    assert {s.id for s in dataset.samples} == {"a.png", "link.jpg"}
    special = "is no regular file (a pipe, socket or device)"
    assert dict(dataset.skipped) == {
        "device.bmp": special,
        "folder.png": "is a folder",
        "gone.png": "does not exist",
        "loop.png": "cannot be read: Too many levels of symbolic links",
        "pipe.jpg": special,
        "socket.png": special,
    }


def test_labels_from_a_file_and_images_that_are_not_in_it(tmp_path: Path) -> None:
    root = pictures(tmp_path / "p", "a.png", "b.png", "c.png")
    (tmp_path / "l.csv").write_text("image,label\na.png,3\nc,n02099601\n")
    dataset = load(root, labels=str(tmp_path / "l.csv"))
    assert labels(dataset) == {"a.png": 3, "c.png": 207}
    assert dataset.skipped == [("b.png", "not in the label file")]


def test_same_file_name_in_two_folders_keeps_its_own_label(tmp_path: Path) -> None:
    root = pictures(tmp_path / "p", "cats/1.png", "dogs/1.png")
    (tmp_path / "l.csv").write_text("cats/1.png,281\ndogs/1.png,207\n")
    assert labels(load(root, labels=str(tmp_path / "l.csv"))) == {"cats/1.png": 281, "dogs/1.png": 207}


def test_same_stem_with_two_suffixes_keeps_its_own_label(tmp_path: Path) -> None:
    root = pictures(tmp_path / "p", "a.jpg", "a.png")
    (tmp_path / "l.csv").write_text("a.jpg,1\na.png,2\n")
    assert labels(load(root, labels=str(tmp_path / "l.csv"))) == {"a.jpg": 1, "a.png": 2}


def test_an_empty_folder_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"^dataset 'folder' has no images at {tmp_path}$"):
        load(tmp_path)


def test_when_no_image_is_left_the_first_reason_is_given(tmp_path: Path) -> None:
    root = pictures(tmp_path / "p", "a.png")
    (tmp_path / "l.csv").write_text("z.png,1\n")
    with pytest.raises(UserError, match=r"has no images at .* \(a.png: not in the label file\)"):
        load(root, labels=str(tmp_path / "l.csv"))


def test_a_root_that_is_missing_a_file_or_not_given(tmp_path: Path) -> None:
    for root in (tmp_path / "none", pictures(tmp_path, "a.png") / "a.png"):
        with pytest.raises(UserError, match=rf"^dataset.root: {root} is not a folder; correct the path$"):
            load(root)
    with pytest.raises(UserError, match=r"^dataset 'folder': 'root' is missing; add dataset.root to the config$"):
        load_dataset(DatasetConfig(name="folder"))


def test_unknown_data_set_and_option() -> None:
    with pytest.raises(UserError, match="unknown dataset 'foldr'; did you mean 'folder'"):
        load_dataset(DatasetConfig(name="foldr"))
    with pytest.raises(UserError, match="dataset 'folder': unknown option 'lables'; did you mean 'labels'"):
        load_dataset(DatasetConfig(name="folder", root=".", lables="x"))
    with pytest.raises(UserError, match="dataset 'folder': option 'root': Input should be a valid string, not 5"):
        load_dataset(DatasetConfig(name="folder", root=5))


def test_labels_are_required_of_every_image(tmp_path: Path) -> None:
    root = pictures(tmp_path / "p", "a.png")
    with pytest.raises(UserError, match=r"no label for a.png"):
        load(root).require_labels()
    (tmp_path / "l.csv").write_text("a.png,1\n")
    load(root, labels=str(tmp_path / "l.csv")).require_labels()


def test_the_whole_file_system_is_no_folder_of_images(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/")
    for root in (Path("/"), tmp_path / "link"):
        with pytest.raises(UserError, match=r"^dataset\.root: .* is the whole file system; give the folder"):
            load(root)
    with pytest.raises(UserError, match="is not a folder; correct the path"):
        load(tmp_path / ("x" * 300))


def test_a_folder_that_goes_away_or_cannot_be_read_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, scandir = pictures(tmp_path, "a.png", "gone/b.png"), os.scandir

    def refused(place: object) -> object:
        if str(place).endswith("gone"):
            raise FileNotFoundError(2, "No such file or directory", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refused)
    dataset = load(root)
    assert [s.id for s in dataset.samples] == ["a.png"]
    assert dataset.skipped == [("gone", "the folder cannot be read: No such file or directory")]


def test_folders_may_be_the_classes(tmp_path: Path) -> None:
    root = pictures(tmp_path / "scans", "ill/1.png", "healthy/1.png", "healthy/ward 3/2.png", "loose.png")
    found = load(root, labels="folders")
    assert labels(found) == {"healthy/1.png": 0, "healthy/ward 3/2.png": 0, "ill/1.png": 1}
    assert dict(found.skipped) == {"loose.png": "in no class folder"}
    with pytest.raises(UserError, match=r"flat has no class folders with images; give a label file, or none$"):
        load(pictures(tmp_path / "flat", "a.png"), labels="folders")


def test_every_class_folder_counts_as_torchvision_counts_them(tmp_path: Path) -> None:
    root = pictures(tmp_path / "scans", "b/1.png", "d/1.png")
    (root / "a").mkdir()  # a class that the selection has no image of
    (root / "c").symlink_to(pictures(tmp_path / "elsewhere", "1.png").resolve())
    assert labels(load(root, labels="folders")) == {"b/1.png": 1, "c/1.png": 2, "d/1.png": 3}
    theirs = torchvision.datasets.ImageFolder(str(root), allow_empty=True)
    assert {Path(path).relative_to(root).as_posix(): index for path, index in theirs.samples} == labels(
        load(root, labels="folders")
    )


def test_links_in_a_circle_have_an_end(tmp_path: Path) -> None:
    root = pictures(tmp_path / "root", "a/1.png", "b/2.png")
    (root / "a/up").symlink_to(root)
    (root / "a/b").symlink_to(root / "b")
    (root / "a/out").symlink_to(tmp_path)  # above the root, which lies in it
    (root / "b/a").symlink_to(root / "a")
    found = {sample.id for sample in load(root).samples}
    assert found == {"a/1.png", "b/2.png", "a/b/2.png", "b/a/1.png"}
