"""A run goes on only on the images, annotations and weights that its rows were made of."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from tiny_runs import config, contents, copy_of, counted, draw, draw_plain, run, tables, unfinish

from reciprocam_bench.engine import loop
from reciprocam_bench.errors import UserError

pytestmark = pytest.mark.slow

CURE = "; give --output another folder, or --fresh to replace it"
FINISHED = pytest.mark.parametrize("finished", [True, False], ids=["finished", "unfinished"])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``pictures`` with six images and their labels, and ``run``, a finished run on four of them; to be copied."""
    place = tmp_path_factory.mktemp("changed")
    draw_plain(place / "pictures", 6)
    (place / "labels.csv").write_text("".join(f"{i:03d}.png,{i}\n" for i in range(6)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RCAM_TEST_PLACE", str(place))
        run(settings(place), place / "run")
    return place


@pytest.fixture
def here(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the place, where the config finds its images."""
    monkeypatch.setenv("RCAM_TEST_PLACE", str(tmp_path / "here"))
    return copy_of(place, tmp_path / "here")


def settings(place: Path, root: str = "${RCAM_TEST_PLACE}", **changes: object):
    dataset = {"name": "folder", "root": f"{root}/pictures", "labels": f"{root}/labels.csv"}
    return config(
        place, **{"dataset": dataset, "methods": ["gradcam"], "metrics": ["complexity"], "limit": 4, **changes}
    )


def first(place: Path, number: int = 0) -> Path:
    """The file of an image that was judged."""
    lines = (place / "run/images.csv").read_text().splitlines()[1:]
    return place / "pictures" / lines[number].partition(",")[0]


def repaint(place: Path) -> None:
    Image.fromarray(np.full((40, 40, 3), 9, np.uint8)).save(first(place))


def one_pixel_of_the_same_size(place: Path) -> None:
    path = first(place)
    content, stat = bytearray(path.read_bytes()), path.stat()
    content[-20] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))


def touch(place: Path) -> None:
    os.utime(first(place), ns=(1, 1))


def remove(place: Path) -> None:
    first(place, 1).unlink()


def add(place: Path) -> None:
    draw(["0001.png", "0011.png", "0021.png"], place / "pictures")
    with (place / "labels.csv").open("a") as labels:
        labels.write("0001.png,1\n0011.png,2\n0021.png,3\n")


def relabel(place: Path) -> None:
    name = first(place).name
    text = (place / "labels.csv").read_text().splitlines()
    (place / "labels.csv").write_text("\n".join(f"{name},99" if line.startswith(name) else line for line in text))


def nothing(place: Path) -> None:
    """The same images, in another place."""


@FINISHED
@pytest.mark.parametrize(
    "change, told",
    [
        (repaint, "the files of 1 of its 4 images changed ({first} first)"),
        (one_pixel_of_the_same_size, "the files of 1 of its 4 images changed ({first} first)"),
        (relabel, ""),  # another label is another place in the order
        (remove, "its first images are others ("),
    ],
)
def test_other_data_is_refused_in_one_line(here: Path, finished: bool, change: Callable, told: str) -> None:
    name = first(here).name
    change(here)
    if not finished:
        unfinish(here / "run")
    before = contents(here / "run")
    with pytest.raises(UserError) as caught:
        run(settings(here), here / "run")
    state = "a finished run" if finished else "an unfinished run"
    expected = f"{here / 'run'} holds {state} of other data or weights ({told.format(first=name)}"
    assert str(caught.value).startswith(expected) and str(caught.value).endswith(CURE)
    assert contents(here / "run") == before


def test_images_that_come_behind_the_others_are_judged_and_no_other(here: Path, tmp_path: Path) -> None:
    everything = settings(here, str(here), limit=None)
    run(everything, tmp_path / "all")
    before = (tmp_path / "all/per_image.csv").read_text()
    add(here)  # second images of their classes, which stand behind the first of every class
    run(everything, tmp_path / "all")
    after = (tmp_path / "all/per_image.csv").read_text()
    assert after.startswith(before.rsplit("\n", 2)[0]) and after.count("\n") == before.count("\n") + 3
    run(everything, tmp_path / "whole")
    assert (tmp_path / "whole/per_image.csv").read_text() == after


@pytest.mark.parametrize("change", [touch, nothing])
def test_the_same_content_goes_on(place: Path, here: Path, change: Callable) -> None:
    change(here)
    assert "holds this run, finished" in run(settings(here), here / "run")
    unfinish(here / "run")
    rows = here / "run/per_image.csv"
    rows.write_text("".join(rows.read_text().splitlines(keepends=True)[:3]))
    run(settings(here), here / "run")
    for name in ("per_image.csv", "summary.csv"):
        assert (here / "run" / name).read_bytes() == (place / "run" / name).read_bytes()


def test_all_images_can_go_and_one_can_come(place: Path, here: Path) -> None:
    run(settings(here, limit=6), here / "run")
    first(here, 5).unlink()
    with pytest.raises(UserError, match=r"no longer holds an image that the run had \(\d{3}\.png\)"):
        run(settings(here, limit=6), here / "run")
    shutil.copytree(place / "pictures", here / "pictures", dirs_exist_ok=True)
    run(settings(here, limit=6), here / "run")
    shutil.rmtree(here / "pictures")
    draw(["other.png"], here / "pictures", seed=7)
    (here / "labels.csv").write_text("other.png,3\n")
    with pytest.raises(UserError, match=r"no longer holds an image that the run had \(\d{3}\.png\)"):
        run(settings(here, limit=6), here / "run")


def test_the_same_content_at_a_place_of_another_name_goes_on(place: Path, here: Path) -> None:
    assert "holds this run, finished" in run(settings(here, root=str(here)), here / "run")
    assert str(here) in (here / "run/config.yaml").read_text()
    assert tables(here / "run") == tables(place / "run")
    dataset = {"name": "imagenet", "root": str(here / "pictures")}
    with pytest.raises(UserError, match=r"another config \(dataset\.name was folder, is imagenet\)"):
        run(settings(here, dataset=dataset), here / "run")


@FINISHED
def test_rows_of_images_that_are_not_on_record_are_made_anew(
    place: Path, here: Path, monkeypatch: pytest.MonkeyPatch, finished: bool
) -> None:
    """What the files were that such rows were made of, nobody knows."""
    images = here / "run/images.csv"
    images.write_text("".join(images.read_text().splitlines(keepends=True)[:3]))
    if not finished:
        unfinish(here / "run")
    judged = counted(monkeypatch, loop, "judge_batch")
    run(settings(here), here / "run")
    assert len(judged) == 1 and tables(here / "run").keys() == tables(place / "run").keys()
    for name in ("per_image.csv", "summary.csv", "skipped.csv"):
        assert (here / "run" / name).read_bytes() == (place / "run" / name).read_bytes()
    assert len(images.read_text().splitlines()) == 5


@FINISHED
def test_weights_that_were_overwritten_are_refused(tmp_path: Path, finished: bool) -> None:
    root = draw_plain(tmp_path / "pictures", 2)
    for seed in (0, 1):
        torch.manual_seed(seed)
        torch.save(timm.create_model("test_resnet", pretrained=False).state_dict(), tmp_path / f"{seed}.pth")
    shutil.copy(tmp_path / "0.pth", tmp_path / "mine.pth")
    backbone = {"model": "timm/test_resnet", "weights": str(tmp_path / "mine.pth")}
    mine = config(root, backbone=backbone, methods=["gradcam"])
    run(mine, tmp_path / "run")
    expected = tables(tmp_path / "run")
    shutil.copy(tmp_path / "1.pth", tmp_path / "mine.pth")
    if not finished:
        unfinish(tmp_path / "run")
    before = contents(tmp_path / "run")
    with pytest.raises(UserError, match=r"of other data or weights \(weights was [0-9a-f]+, is [0-9a-f]+\)"):
        run(mine, tmp_path / "run")
    assert contents(tmp_path / "run") == before
    shutil.copy(tmp_path / "0.pth", tmp_path / "mine.pth")
    run(mine, tmp_path / "run")
    assert tables(tmp_path / "run") == expected
