"""``comparison.csv`` and its text, on run folders written by hand."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_runs
from small_runs import rows, values, write

from reciprocam_bench.errors import UserError
from reciprocam_bench.reporting.compare import compare, comparison
from reciprocam_bench.reporting.summary import summarise, write_tables
from reciprocam_bench.runfolder.record import read_record

THREE = {"cam": values(30, 1), "gradcam": values(30, 2, 0.05), "reciprocam": values(30, 3, 0.3)}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write(tmp_path / "run", rows(THREE))


def table(*folders: Path, **options: object) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(compare(folders, "csv", **options)))  # type: ignore[arg-type]


def test_every_two_methods_are_compared_by_every_metric(run: Path) -> None:
    found = table(run)
    pairs = [("gradcam", "cam"), ("reciprocam", "cam"), ("reciprocam", "gradcam")]
    assert list(zip(found["method"], found["against"], strict=True)) == [p for p in pairs for _ in small_runs.METRICS]
    assert list(found["metric"][:5]) == list(small_runs.METRICS)
    assert set(found["tests"]) == {15} and set(found["images"]) == {30} and set(found["left_out"]) == {0}
    assert set(found["run"]) == set(found["against_run"]) == {"run"}
    # 0.3 towards the better side, whichever that is.
    assert (found["verdict"][5:10] == "better").all()
    assert (found["difference"][5:10] > 0).tolist() == [False, True, True, False, True]
    drop = found.iloc[5]
    want = 100 * (THREE["reciprocam"]["average_drop"].mean() - THREE["cam"]["average_drop"].mean())
    assert drop["difference"] == pytest.approx(want, abs=1e-4) and drop["low"] < want < drop["high"] < 0


def test_it_is_written_into_the_run_folder_and_the_same_each_time(run: Path, tmp_path: Path) -> None:
    first = compare([run], "csv")
    assert (run / "comparison.csv").read_text() == first == compare([run], "csv")
    compare([run], "markdown", output=tmp_path / "a/b", metrics=["adcc"])
    assert (tmp_path / "a/b/comparison.csv").read_text().count("\n") == 4
    assert (run / "comparison.csv").read_text() == first


def test_differences_are_those_of_the_summary(run: Path) -> None:
    record = read_record(run)
    summary = summarise(record, record.rows()).set_index("method")
    found = comparison([record])
    for row in found.itertuples():
        assert row.value == pytest.approx(summary.loc[row.method, row.metric])
        assert row.difference == pytest.approx(row.value - summary.loc[row.against, row.metric], abs=1e-6)


def test_the_other_order_of_methods_turns_differences_round(run: Path, tmp_path: Path) -> None:
    turned = table(write(tmp_path / "turned", rows(dict(reversed(THREE.items()))))).set_index(
        ["against", "method", "metric"]
    )
    words = {"better": "worse", "worse": "better", "cannot be told": "cannot be told"}
    for row in table(run).itertuples():
        other = turned.loc[(row.method, row.against, row.metric)]
        assert (row.difference, row.low, row.p) == pytest.approx((-other["difference"], -other["high"], other["p"]))
        assert row.verdict == words[other["verdict"]]


def test_a_baseline_stands_second_wherever_the_config_names_it(run: Path) -> None:
    found = table(run, baseline="gradcam", metrics=["adcc", "increase"])
    assert list(found["method"]) == ["cam", "cam", "reciprocam", "reciprocam"]
    assert set(found["against"]) == {"gradcam"} and list(found["metric"][:2]) == ["increase", "adcc"]
    assert set(found["tests"]) == {4}


@pytest.mark.parametrize("name", ["reciprocam[mask=gaussian,path=reference]", "mine", "r[ b = 2, a=1 ]"])
def test_a_baseline_is_named_with_its_options_in_any_order_or_by_its_label(tmp_path: Path, name: str) -> None:
    options = {"mask": "gaussian", "path": "reference"}
    title = "reciprocam[path=reference,mask=gaussian]"
    methods = {"cam": THREE["cam"], title: THREE["gradcam"], "mine": THREE["reciprocam"]}
    config = {
        "methods": [
            "cam",
            {"name": "reciprocam", "path": "reference", "mask": "gaussian"},
            {"name": "r", "a": 1, "b": 2, "label": "mine"},
        ]
    }
    definitions = {
        title: {"name": "reciprocam", "options": options},
        "mine": {"name": "r", "options": {"a": 1, "b": 2}},
    }
    folder = write(tmp_path / "run", rows(methods), config=config, definitions=definitions)
    assert set(table(folder, baseline=name)["against"]) == {title if "reciprocam" in name else "mine"}


def test_only_images_that_both_have_values_for_are_compared(tmp_path: Path) -> None:
    frame = rows({"cam": values(20, 1), "gradcam": values(20, 2)})
    frame.loc[(frame["method"] == "cam") & (frame["image"] < "003.png"), "increase"] = np.nan
    failed = (frame["method"] == "gradcam") & (frame["image"] == "019.png")
    frame.loc[failed, list(small_runs.METRICS)] = np.nan
    frame.loc[failed, "status"] = "error: no"
    frame.loc[5, "status"] = "constant"
    frame = frame[~((frame["method"] == "gradcam") & (frame["image"] == "010.png"))]
    folder = write(tmp_path / "run", frame)
    found = table(folder).set_index("metric")
    assert found["images"].tolist() == [18, 15, 18, 18, 18] and found["left_out"].tolist() == [2, 5, 2, 2, 2]
    kept = frame[(frame["image"] >= "003.png") & ~frame["image"].isin(["010.png", "019.png"])]
    means = kept.groupby("method")["increase"].mean()
    assert found.loc["increase", "difference"] == pytest.approx(100 * (means["gradcam"] - means["cam"]), abs=1e-3)
    assert "| left out |" in compare([folder], "markdown")


def test_an_image_of_which_one_trial_lacks_a_value_is_left_out_in_part(tmp_path: Path) -> None:
    frame = rows({"cam": values(6, 1), "gradcam": values(6, 2)})
    frame["category"] = ["cat", "dog"] * 6
    frame["image"] = [f"{i // 2}.png" for i in range(6)] * 2
    frame.loc[0, "status"] = "error: no"
    frame.loc[0, list(small_runs.METRICS)] = np.nan
    found = table(write(tmp_path / "run", frame))
    assert set(found["images"]) == {3} and set(found["left_out"]) == {1}


def test_each_protocol_is_a_family_of_its_own(tmp_path: Path) -> None:
    both = ["poppi-2021", "recipro-2024"]
    folder = write(tmp_path / "run", rows(THREE, both), config={"protocol": both})
    found = table(folder)
    assert found.groupby("protocol").size().to_dict() == dict.fromkeys(both, 15) and set(found["tests"]) == {15}
    text = compare([folder], "latex")
    assert (
        text.count(r"\begin{tabular}{lllrrrrl}") == 2 and text.count("tab:compare-methods-torchvision-resnet18-") == 2
    )


def test_a_metric_of_unknown_direction_is_higher_or_lower(tmp_path: Path) -> None:
    unknown = {"increase": {**small_runs.METRICS["increase"], "higher_is_better": None}}
    folder = write(tmp_path / "run", rows(THREE), metrics=unknown)
    assert table(folder, metrics=["increase"])["verdict"].tolist()[1:] == ["higher", "higher"]
    assert table(folder, metrics=["increase"], baseline="reciprocam")["verdict"].tolist() == ["lower", "lower"]
    assert "| Increase " in compare([folder], "markdown", metrics=["increase"])


def test_the_text_says_what_was_done(run: Path) -> None:
    text = compare([run], "markdown", metrics=["average_drop"])
    assert text.startswith(
        "torchvision/resnet18 on imagenet, paired differences of methods in percentage points (protocol poppi-2021); "
        "3 tests, p adjusted by Holm\n"
    )
    row = next(line for line in text.splitlines() if line.startswith("| reciprocam | cam"))
    assert [cell.strip() for cell in row.strip("|").split("|")][2:4] == ["Drop ↓", "30"]
    assert row.endswith("|   0.0003 | better  |") and " |     -3" in row
    assert max(map(len, compare([run], "terminal", width=80).splitlines()[2:])) <= 80
    latex = compare([run], "latex", metrics=["average_drop"])
    assert r"Drop $\downarrow$ & 30 & $-$" in latex and r"& better \\" in latex


def test_a_run_that_goes_on_is_compared_as_far_as_it_is(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", rows(THREE), finished=None)
    assert "; the run is not finished\n" in compare([folder], "markdown")


def test_rows_that_are_fewer_than_were_judged_are_refused(run: Path) -> None:
    write_tables(run)
    lines = (run / "per_image.csv").read_text().splitlines(keepends=True)
    (run / "per_image.csv").write_text("".join(lines[:-1]))
    with pytest.raises(UserError, match="says that 30 images of 'reciprocam' were judged under poppi"):
        compare([run], "csv")


def test_a_row_that_is_there_twice_is_named_by_its_line(run: Path) -> None:
    lines = (run / "per_image.csv").read_text().splitlines(keepends=True)
    (run / "per_image.csv").write_text("".join([*lines, lines[1]]))
    with pytest.raises(UserError, match=r"per_image.csv, line 92: this row of 'cam' is there twice; correct it"):
        compare([run], "csv")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"baseline": "gradcm"}, r"--baseline gradcm: .*run holds no such method; did you mean 'gradcam'\?"),
        ({"baseline": "reciprocam[mask"}, "not readable as name"),
        ({"metrics": ["adccc"]}, r"--metric adccc: .*run holds no such metric; did you mean 'adcc'\?"),
    ],
)
def test_names_that_are_not_there(run: Path, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        compare([run], "csv", **options)
    assert not (run / "comparison.csv").exists()


def test_what_cannot_be_compared(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--format pdf: choose one of markdown, latex, csv, terminal"):
        compare([run], "pdf")
    with pytest.raises(UserError, match="a run folder is given twice"):
        compare([run, run / "../run"], "csv")
    one = write(tmp_path / "one", rows({"cam": values(5)}))
    with pytest.raises(
        UserError, match="one holds one method, 'cam'; run it with one more, or give a second run folder"
    ):
        compare([one], "csv")
    none = write(tmp_path / "none", rows(THREE).iloc[:0], methods=["cam", "gradcam"])
    with pytest.raises(UserError, match="none holds no rows yet; run it first"):
        compare([none], "csv")
    begun = write(tmp_path / "begun", rows({"cam": values(5)}), methods=["cam", "gradcam"], finished=None)
    with pytest.raises(UserError, match="begun holds no rows of 'gradcam' yet; run it first"):
        compare([begun], "csv", baseline="gradcam")
    (run / "per_image.csv").unlink()
    with pytest.raises(UserError, match=r"run has no per_image.csv yet; run it first"):
        compare([run], "csv")


def test_a_place_that_cannot_be_written(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=r"cannot be written: .*; give --output another folder"):
        compare([run], "csv", output=tmp_path / "file/below")
    (tmp_path / "out/comparison.csv").mkdir(parents=True)
    with pytest.raises(UserError, match=r"comparison.csv cannot be written: .*; give --output another folder"):
        compare([run], "csv", output=tmp_path / "out")
