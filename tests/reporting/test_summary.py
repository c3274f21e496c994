"""The tables made of rows: counts, published values, and what is said of bad maps."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from reciprocam_bench.errors import UserError
from reciprocam_bench.reporting.report import report
from reciprocam_bench.reporting.summary import summarise, warnings_of, write_tables
from reciprocam_bench.runfolder.record import read_record

CONFIG = "backbone: {model: torchvision/resnet50, weights: IMAGENET1K_V1}\ndataset: {name: imagenet}\n"
CONFIG += "protocol: recipro-2024\nmethods: [%s]\nmetrics: [increase]\nseed: 0\n"
ENVIRONMENT = {
    "format": 2,
    "dataset": "imagenet",
    "images": 3,
    "images_total": 3,
    "class_source": {"recipro-2024": "label"},
    "definitions": {
        "protocols": {"recipro-2024": {"version": 1, "classes": "label"}},
        "methods": {
            "reciprocam": {"name": "reciprocam"},
            "mine": {"name": "reciprocam", "options": {"path": "reference"}},
        },
        "metrics": {"increase": {"title": "Increase", "higher_is_better": True, "columns": ["increase"]}},
    },
}
HEADING = "protocol,image,category,difficult,label,predicted,class,probability,method,status,increase\n"


def folder(path: Path, statuses: list[str], method: str = "reciprocam", config: str = "", **facts: object) -> Path:
    """A run folder of one row an image."""
    path.mkdir(parents=True, exist_ok=True)
    given = [line for line in (CONFIG % method).splitlines() if line.partition(":")[0] != config.partition(":")[0]]
    (path / "config.yaml").write_text("\n".join([*given, config]))
    (path / "environment.json").write_text(json.dumps({**ENVIRONMENT, **facts}))
    title, rows = "reciprocam" if method == "reciprocam" else "mine", HEADING
    for i, status in enumerate(statuses):
        value = "" if status.startswith("error") else i % 2
        rows += f'recipro-2024,{i}.png,,,1,{i},1,0.5,{title},"{status}",{value}\n'
    (path / "per_image.csv").write_text(rows)
    return path


def summary(path: Path) -> pd.DataFrame:
    record = read_record(path)
    return summarise(record, record.rows())


def test_every_kind_of_map_is_counted(tmp_path: Path) -> None:
    statuses = ["ok", "constant", "nan", "error: a, b", "constant; error in other: no", "ok; error in other: no"]
    row = summary(folder(tmp_path / "run", statuses)).iloc[0]
    assert row[["images", "constant", "nan", "errors"]].tolist() == [5, 2, 1, 1]
    assert row["increase"] == pytest.approx(100 * 2 / 5)
    assert row["top1"] == pytest.approx(100 / 5)
    assert row["classes"] == "label"


@pytest.mark.parametrize(
    ("classes", "top1", "told"),
    [
        (1000, 100 / 3, []),
        (None, 100 / 3, []),
        (1, None, ["labels reach 1, the network has classes 0 to 0: not its own, so top-1 is not given"]),
    ],
)
def test_top1_is_of_labels_that_are_the_networks(
    tmp_path: Path, classes: int | None, top1: float | None, told: list[str]
) -> None:
    path = folder(tmp_path / "run", ["ok"] * 3, **({"num_classes": classes} if classes else {}))
    write_tables(path)
    found = summary(path)["top1"].iloc[0]
    assert (found is None or pd.isna(found)) if top1 is None else found == pytest.approx(top1)
    assert warnings_of(path) == told


def test_of_one_output_there_is_no_top1(tmp_path: Path) -> None:
    path = folder(tmp_path / "run", ["ok"], num_classes=1)
    (path / "per_image.csv").write_text((path / "per_image.csv").read_text().replace(",1,0,1,", ",0,0,0,"))
    assert summary(path)["top1"].isna().all()


def test_of_maps_that_all_failed_there_is_no_table_of_categories(tmp_path: Path) -> None:
    metric = {"title": "Pointing", "higher_is_better": True, "columns": ["increase"], "localised": True}
    definitions = ENVIRONMENT["definitions"] | {"metrics": {"increase": metric}}
    path = folder(tmp_path / "run", ["error: a"], definitions=definitions)
    write_tables(path)
    assert not (path / "per_class.csv").exists() and summary(path)["errors"].tolist() == [1]


def test_images_that_could_not_be_read_are_told(tmp_path: Path) -> None:
    path = folder(tmp_path / "run", ["ok"])
    write_tables(path)
    skipped = "protocol,image,reason\n,a.png,not in the label file\n"
    (path / "skipped.csv").write_text(skipped)
    assert warnings_of(path) == []
    (path / "skipped.csv").write_text(skipped + "recipro-2024,b.png,cut\nrecipro-2024,c.png,cut\n")
    assert warnings_of(path) == ["2 images could not be read or prepared; skipped.csv says why"]


def test_rows_of_several_runs_that_nothing_tells_apart_name_their_run(tmp_path: Path) -> None:
    paths = [folder(tmp_path / name, ["ok"]) for name in ("before", "after")]
    for path in paths:
        write_tables(path)
    assert report(paths, "csv").splitlines()[1].startswith("before,torchvision/resnet50,")
    text = report(paths, "markdown")
    assert "| run    | method     |" in text and "| after  | reciprocam |" in text
    assert "run" not in report(paths[:1], "markdown").partition("|")[2]


def test_runs_in_folders_of_one_name_are_told_by_their_paths_and_none_is_given_twice(tmp_path: Path) -> None:
    paths = [folder(tmp_path / name / "run", ["ok"]) for name in ("before", "after")]
    for path in paths:
        write_tables(path)
    text = report(paths, "markdown")
    assert f"| {paths[0]} " in text and f"| {paths[1]} " in text
    with pytest.raises(UserError, match="given twice"):
        report([paths[0], paths[0]], "markdown")


def test_warnings_name_method_and_kinds(tmp_path: Path) -> None:
    path = folder(tmp_path / "run", ["ok", "constant", "nan", "error: a"])
    write_tables(path)
    assert warnings_of(path) == [
        "reciprocam (recipro-2024): 1 errors, 1 nan, 1 constant of 4 maps; see per_image.csv",
    ]
    write_tables(folder(tmp_path / "run", ["ok"]))
    assert warnings_of(path) == []


def test_maps_are_counted_by_trials_not_images(tmp_path: Path) -> None:
    path = folder(tmp_path / "run", ["constant", "constant"])
    rows = pd.read_csv(path / "per_image.csv", keep_default_na=False)
    rows["image"], rows["category"] = "0.png", ["cat", "dog"]
    rows.to_csv(path / "per_image.csv", index=False)
    write_tables(path)
    assert "2 constant of 2 maps" in warnings_of(path)[-1]


@pytest.mark.parametrize(
    "change, is_published",
    [
        ({}, True),
        ({"method": "{name: reciprocam, path: reference, label: mine}"}, True),
        ({"config": "limit: 3\n"}, True),  # all there are
        ({"config": "limit: 3\n", "images_total": 50000}, False),
        ({"config": "dataset: {name: imagenet, subset: {random: 3}}\n"}, True),  # all there are
        ({"config": "dataset: {name: imagenet, subset: {random: 3}}\n", "images_total": 50000}, False),
        ({"config": "classes: predicted\n"}, False),
        ({"config": "classes: label\n"}, True),
        ({"config": "preprocess: model\n"}, False),
        ({"dataset": "samples"}, False),
    ],
)
def test_published_values_stand_beside_this_very_variant_alone(
    tmp_path: Path, change: dict, is_published: bool
) -> None:
    row = summary(folder(tmp_path / "run", ["ok", "ok", "ok"], **change)).iloc[0]
    assert pd.notna(row["increase_published"]) == is_published
    assert bool(row["published_note"]) == is_published


def test_an_option_that_changes_values_is_another_variant(tmp_path: Path) -> None:
    definitions = json.loads(json.dumps(ENVIRONMENT["definitions"]))
    definitions["methods"]["reciprocam"]["options"] = {"mask": "gaussian"}
    row = summary(folder(tmp_path / "run", ["ok"], definitions=definitions)).iloc[0]
    assert pd.isna(row["increase_published"])


def test_a_method_without_rows_yet_has_a_row_without_values(tmp_path: Path) -> None:
    path = folder(tmp_path / "run", ["ok", "ok"])
    (path / "config.yaml").write_text(CONFIG % "reciprocam, {name: reciprocam, path: reference, label: mine}")
    table = summary(path).set_index("method")
    assert table.loc["mine", "images"] == 0 and pd.isna(table.loc["mine", "increase"])


def test_an_unfinished_run_is_reported_as_one(tmp_path: Path) -> None:
    path = folder(tmp_path / "run", ["ok", "ok"])
    write_tables(path)
    assert "; the run is not finished\n" in report(path, "markdown")
    folder(path, ["ok", "ok"], finished="today")
    text = report(path, "markdown")
    assert text.startswith(
        "torchvision/resnet50 on imagenet, quality, in percent (protocol recipro-2024); top-1 of the labelled images: "
        "50.0 %\n"
    )
    assert "| reciprocam | 2 of 3 |" in text


def test_no_rows_are_a_mistake(tmp_path: Path) -> None:
    path = folder(tmp_path / "run", ["ok"])
    (path / "per_image.csv").unlink()
    with pytest.raises(UserError, match=r"run has no per_image.csv yet; run it first"):
        write_tables(path)


def test_the_papers_difficult_subset_is_one_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(Path(__file__).parents[2] / "results/resnet50_voc07_subset", path)
    about = json.loads((path / "environment.json").read_text())
    for by, printed in (("rule", False), ("file", True)):
        (path / "environment.json").write_text(json.dumps(about | {"difficult_by": by}))
        row = summary(path).set_index("method").loc["gradcam"]
        assert pd.notna(row["pointing_game_published"]) and pd.notna(row["pointing_game_difficult"])
        assert pd.notna(row["pointing_game_difficult_published"]) == printed
