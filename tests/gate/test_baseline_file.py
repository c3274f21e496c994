"""The baseline file: written to be read, and damaged."""

import json
from pathlib import Path

import pytest
from small_runs import rows, values, write

from reciprocam_bench.errors import UserError
from reciprocam_bench.gate.baseline import read_baseline, write_baseline
from reciprocam_bench.gate.check import check
from reciprocam_bench.gate.update import update

PAIR = {"method": "a", "over": "b", "scope": "explainer", "batch_size": 1, "value": 1}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write(tmp_path / "run", rows({"cam": values(6), "=cmd": values(6, 1)}))


@pytest.fixture
def baseline(tmp_path: Path, run: Path) -> Path:
    update(run, tmp_path / "deep" / "b.json")
    return tmp_path / "deep" / "b.json"


def test_it_comes_back_as_it_was_written_a_row_a_line(baseline: Path, tmp_path: Path) -> None:
    read = read_baseline(baseline)
    write_baseline(tmp_path / "again.json", read)
    assert (tmp_path / "again.json").read_bytes() == baseline.read_bytes()
    assert read.rows is not None and len(read.rows.data) == 12
    assert sum("003.png" in line for line in baseline.read_text().splitlines()) == 2
    assert read.format == 1 and read.environment.format == 2 and read.environment.definitions is not None


def test_more_images_than_a_repository_wants_leave_no_rows(tmp_path: Path) -> None:
    run = write(tmp_path / "run", rows({"cam": values(1001)}))
    assert update(run, tmp_path / "b.json").rows is None
    assert {f.verdict for f in check(run, tmp_path / "b.json")} == {"holds"}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda c: c.pop("ratios"), "ratios: Field required"),
        (lambda c: c.update(extra=1), "extra: Extra inputs are not permitted"),
        (lambda c: c.update(format=2), "is of format 2, made by a newer rcam-bench"),
        (lambda c: c.update(format="x"), "format: Input should be a valid integer"),
        (lambda c: c.update(metrics=[]), "there are neither ratios nor metrics to check"),
        (lambda c: c["metrics"].append(c["metrics"][0]), "'average_drop of cam (poppi-2021)' is there twice"),
        (lambda c: c["metrics"][0].update(tolerance=-1), "metrics.0.tolerance"),
        (lambda c: c["metrics"][0].update(metric="nonsense"), "holds no nonsense of 'cam'"),
        (lambda c: c["ratios"].append({**PAIR, "scope": "x"}), "ratios.0.scope"),
        (lambda c: c["rows"]["data"][2].pop(), "row 3 has 15 cells, not 16"),
        (lambda c: c["rows"]["data"][2].__setitem__(-1, "many"), "its rows are damaged"),
        (lambda c: c["rows"]["data"].append(c["rows"]["data"][0]), "its rows are damaged"),
        (lambda c: c["rows"]["columns"].__setitem__(0, "x"), "its rows are damaged"),
        (lambda c: c["rows"]["data"][2].__setitem__(0, "other"), "its rows are damaged"),
        (lambda c: c["config"].update(seed="x"), "config: seed"),
        (lambda c: c["environment"].update(definitions=None, metrics=[]), "the definitions are missing"),
    ],
)
def test_a_damaged_one_is_told_in_one_line(baseline: Path, run: Path, damage: object, said: str) -> None:
    content = json.loads(baseline.read_text())
    damage(content)  # type: ignore[operator]
    baseline.write_text(json.dumps(content))
    with pytest.raises(UserError) as refused:
        check(run, baseline)
    assert said in str(refused.value) and str(baseline) in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: not readable as JSON"),
        ("{\n  'a'", "line 2: not readable as JSON"),
        ("[1]", "its content: Input should be"),
        ("[" * 100_000, "not readable as JSON: too deep"),
        ("1" * 5_000, "not readable as JSON: too deep, or a number too long"),
        ("\ufeff{}", "byte-order mark"),
    ],
)
def test_what_is_no_baseline_is_told_in_one_line(tmp_path: Path, run: Path, text: str, said: str) -> None:
    (tmp_path / "b.json").write_text(text, encoding="utf-8")
    for do in (lambda: check(run, tmp_path / "b.json"), lambda: update(run, tmp_path / "b.json")):
        with pytest.raises(UserError) as refused:
            do()
        assert said in str(refused.value) and "\n" not in str(refused.value)


def test_an_absent_one_and_a_folder_are_told(tmp_path: Path, run: Path) -> None:
    with pytest.raises(UserError, match="does not exist; --update writes a baseline there"):
        check(run, tmp_path / "none.json")
    with pytest.raises(UserError, match="is a folder, where a file should be"):
        check(run, tmp_path)
