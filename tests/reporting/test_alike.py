"""Several run folders: what is compared with what, and what is refused."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import small_runs
from small_runs import rows, values, write

from reciprocam_bench.errors import UserError
from reciprocam_bench.reporting.compare import compare
from reciprocam_bench.reporting.report import one_meaning
from reciprocam_bench.runfolder.record import read_record

OLD = {"cam": values(30, 1), "gradcam": values(30, 2)}
NEW = {"gradcam": values(30, 2, 0.3), "mine": values(30, 3)}


def pairs(*folders: Path, **options: Any) -> list[tuple[str, str, str, str]]:
    table = pd.read_csv(io.StringIO(compare(folders, "csv", metrics=["adcc"], **options)))
    return list(table[["method", "run", "against", "against_run"]].itertuples(index=False, name=None))


def test_methods_meet_in_one_run_where_they_can_and_a_method_meets_itself_across_runs(tmp_path: Path) -> None:
    old, new = write(tmp_path / "old", rows(OLD)), write(tmp_path / "new", rows(NEW))
    assert pairs(old, new) == [
        ("gradcam", "old", "cam", "old"),
        ("mine", "new", "cam", "old"),
        ("mine", "new", "gradcam", "new"),
        ("gradcam", "new", "gradcam", "old"),
    ]
    assert pairs(old, new, baseline="cam") == [("gradcam", "old", "cam", "old"), ("mine", "new", "cam", "old")]
    assert (old / "comparison.csv").exists() and not (new / "comparison.csv").exists()


def test_the_same_method_in_two_runs_is_a_family_of_its_own(tmp_path: Path) -> None:
    old = write(tmp_path / "old", rows(OLD), commit="1" * 40)
    new = write(tmp_path / "new", rows(NEW), commit="abcdefab" * 5, fingerprint={"torch": "2.9"})
    table = pd.read_csv(io.StringIO(compare([old, new], "csv"))).set_index(["family", "metric"])
    assert set(table.loc["methods", "tests"]) == {15} and set(table.loc["runs", "tests"]) == {5}
    assert set(table.loc["runs", "verdict"]) == {"better"}
    text = compare([old, new], "markdown").splitlines()
    title = next(line for line in text if "one method in several runs" in line)
    assert title.endswith("; the runs differ in commit (abcdefababcd, not 111111111111)")
    assert "| method  | run | against | against run |" in "\n".join(text)


def test_runs_of_one_folder_name_are_told_by_their_paths(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a/run", rows(OLD)), write(tmp_path / "b/run", rows(OLD))
    assert pairs(a, b)[-1] == ("gradcam", str(b), "gradcam", str(a))


def test_one_method_each_is_enough_in_two_runs(tmp_path: Path) -> None:
    a, b = (write(tmp_path / name, rows({name: OLD[name]})) for name in ("cam", "gradcam"))
    assert pairs(a, b) == [("gradcam", "gradcam", "cam", "cam")]


def test_images_of_one_run_alone_are_left_out(tmp_path: Path) -> None:
    old = write(tmp_path / "old", rows(OLD))
    frame = rows({"cam": values(40, 4)})
    new = write(tmp_path / "new", frame[frame["image"] >= "010.png"])
    table = pd.read_csv(io.StringIO(compare([old, new], "csv", metrics=["increase"])))
    mine = table[table["family"] == "runs"].iloc[0]
    assert (mine["images"], mine["left_out"]) == (20, 20)
    want = values(40, 4)["increase"][10:30].mean() - OLD["cam"]["increase"][10:].mean()
    assert mine["difference"] == pytest.approx(100 * want, abs=1e-4)


def test_runs_without_an_image_in_common_are_refused(tmp_path: Path) -> None:
    old = write(tmp_path / "old", rows({"cam": values(5)}))
    frame = rows({"cam": values(5)})
    new = write(tmp_path / "new", frame.assign(image="other/" + frame["image"]))
    with pytest.raises(UserError, match="hold no two methods with values of one metric on the same images"):
        compare([old, new], "csv")


def test_a_metric_of_one_run_is_compared_within_it(tmp_path: Path) -> None:
    old = write(tmp_path / "old", rows(OLD))
    new = write(tmp_path / "new", rows(NEW).drop(columns="increase"))
    table = pd.read_csv(io.StringIO(compare([old, new], "csv")))
    assert table[table["metric"] == "increase"][["method", "against"]].to_numpy().tolist() == [["gradcam", "cam"]]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"fingerprint": {"weights": "b" * 64}}, r"weights \(bbbbbbbbbbbb, not aaaaaaaaaaaa\)"),
        ({"fingerprint": {"head": "c" * 64}}, r"head \(cccccccccccc, not none\)"),
        (
            {"config": {"backbone": {"model": "torchvision/resnet50"}}, "fingerprint": {"weights": "b" * 64}},
            r"model \(torchvision/resnet50, not torchvision/resnet18\), weights \(bbb",
        ),
        ({"config": {"preprocess": "model"}}, r"preprocess \(model, not protocol\)"),
        ({"dataset": "coco"}, r"data set \(coco, not imagenet\)"),
        ({"protocols": {"poppi-2021": {"version": 2, "classes": "predicted"}}}, r"version of poppi-2021 \(2, not 1\)"),
        ({"class_source": {"poppi-2021": "wordnet"}}, r"class under poppi-2021 \(wordnet, not predicted\)"),
        ({"config": {"classes": "label"}}, r"class under poppi-2021 \(label, not predicted\)"),
        (
            {"metrics": {"increase": {**small_runs.METRICS["increase"], "higher_is_better": False}}},
            r"higher_is_better of increase \(False, not True\)",
        ),
        (
            {"metrics": {"increase": {**small_runs.METRICS["increase"], "name": "increase", "options": {"by": 2}}}},
            r"metric of increase \(increase\[by=2\], not increase\)",
        ),
        ({"definitions": {"gradcam": {"name": "scorecam"}}}, r"method 'gradcam' \(scorecam, not gradcam\)"),
    ],
)
def test_runs_that_are_not_alike_are_refused_with_what_differs(tmp_path: Path, changes: dict, message: str) -> None:
    known = {"metrics": {"increase": {**small_runs.METRICS["increase"], "name": "increase"}}}
    old, new = write(tmp_path / "old", rows(OLD), **known), write(tmp_path / "new", rows(NEW), **changes)
    with pytest.raises(
        UserError, match=rf"new cannot be compared with .*old: {message}.*; compare runs of the same net"
    ):
        compare([old, new], "csv")
    assert not (old / "comparison.csv").exists()


def test_one_label_of_two_methods_or_metrics_is_not_put_into_one_table(tmp_path: Path) -> None:
    named = {"metrics": {"increase": {**small_runs.METRICS["increase"], "name": "increase"}}}
    other = {"metrics": {"increase": {**named["metrics"]["increase"], "options": {"by": 2}}}}
    a = write(tmp_path / "a", rows(OLD), **named)
    for changes, told in (
        (other, r"metric 'increase' is not the same: metric \(increase\[by=2\], not increase\)"),
        ({"definitions": {"cam": {"name": "scorecam"}}}, "method 'cam' is scorecam, not cam"),
    ):
        b = write(tmp_path / "b", rows(OLD), **changes)
        with pytest.raises(UserError, match=f"b: {told}, as in .*a; report the runs one by one"):
            one_meaning([read_record(a), read_record(b)])
    one_meaning([read_record(a), read_record(write(tmp_path / "old", rows(OLD)))])  # which does not say it


def test_another_layer_or_name_of_the_same_weights_can_be_compared(tmp_path: Path) -> None:
    backbone = {"model": "torchvision/resnet18", "weights": "default", "layer": "layer3"}
    old = write(tmp_path / "old", rows(OLD))
    new = write(tmp_path / "new", rows(OLD), config={"backbone": backbone})
    assert "the runs differ in layer (layer3, not auto)" in compare([old, new], "markdown")
    assert compare([old, new], "markdown", metrics=["adcc"]).count("; 1 test, p adjusted by Holm\n") == 1


def test_weights_without_a_digest_are_told_by_their_names(tmp_path: Path) -> None:
    old, new = (
        write(
            tmp_path / name,
            rows(OLD),
            fingerprint={"weights": ""},
            config={"backbone": {"model": "torchvision/resnet18", "weights": f"weights/of/{name}.pth"}},
        )
        for name in ("old", "new")
    )
    with pytest.raises(UserError, match=r"weights \(weights/of/new.pth, not weights/of/old.pth\)"):
        compare([old, new], "csv")


@pytest.mark.parametrize(("column", "what"), [("sha256", "another picture"), ("truth", "labelled otherwise")])
def test_an_image_that_is_not_the_same_in_both_is_refused(tmp_path: Path, column: str, what: str) -> None:
    folders = [write(tmp_path / name, rows(OLD)) for name in ("old", "new")]
    for folder, digest in zip(folders, "ab", strict=True):
        names = [f"{i:03d}.png" for i in range(30)]
        images = pd.DataFrame({"image": names, "bytes": 1, "modified": 1, "sha256": "c", "truth": "d"})
        images.loc[7, column] = digest
        images.to_csv(folder / "images.csv", index=False)
    with pytest.raises(
        UserError, match=rf"new/images.csv: '007.png' is {what} than in .*old; compare runs on the same"
    ):
        compare(folders, "csv")
    images.assign(**{column: np.where(images[column] == "b", "a", images[column])}).to_csv(
        folders[1] / "images.csv", index=False
    )
    assert compare(folders, "csv")
