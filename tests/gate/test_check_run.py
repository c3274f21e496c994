"""Runs written by hand against baselines made of them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_runs import calls, rows, time, values, write

from reciprocam_bench.errors import UserError
from reciprocam_bench.gate.check import check
from reciprocam_bench.gate.findings import Finding
from reciprocam_bench.gate.update import update

METHODS = {"scorecam": values(20, 1), "reciprocam": values(20, 2, 0.1)}
PAIR = "reciprocam over scorecam, end-to-end, batch 1"
ALONE = "scorecam over forward, end-to-end, batch 1"


def times(scorecam: float = 1000.0, reciprocam: float = 10.0, noise: float = 0.01, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    typical = {"forward": 8.0, "scorecam": scorecam, "reciprocam": reciprocam}
    return calls({name: ms * rng.lognormal(0, noise, 40) for name, ms in typical.items()})


def made(path: Path, rounds: pd.DataFrame | None = None, table: pd.DataFrame | None = None, **changes: object) -> Path:
    write(path, rows(METHODS) if table is None else table, methods=list(METHODS), **changes)
    return time(path, times() if rounds is None else rounds, relative_to="scorecam")


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    update(made(tmp_path / "before"), tmp_path / "baseline.json")
    return tmp_path / "baseline.json"


def verdicts(findings: list[Finding]) -> dict[str, str]:
    return {f.title: f.verdict for f in findings}


def edit(path: Path, change: object) -> None:
    content = json.loads(path.read_text())
    change(content)  # type: ignore[operator]
    path.write_text(json.dumps(content))


def test_an_unchanged_run_holds(tmp_path: Path, baseline: Path) -> None:
    findings = check(made(tmp_path / "now", times(seed=1)), baseline)
    assert set(verdicts(findings).values()) == {"holds"}
    assert [f.title for f in findings if f.pair] == [ALONE, PAIR]
    assert len(findings) == 2 + 2 * 5  # two methods, five metrics
    assert all(f.change.value == f.change.low == f.change.high == 0 for f in findings if f.key)


@pytest.mark.parametrize(("slower", "fails"), [("scorecam", ALONE), ("reciprocam", PAIR)])
def test_a_method_that_takes_a_quarter_more_fails(tmp_path: Path, baseline: Path, slower: str, fails: str) -> None:
    normal = {"scorecam": 1000.0, "reciprocam": 10.0}
    now = made(tmp_path / "now", times(**{**normal, slower: 1.25 * normal[slower]}, seed=1))
    found = {f.title: f for f in check(now, baseline)}
    assert found[fails].verdict == "worse" and found[fails].change.value == pytest.approx(0.8, rel=0.02)
    assert found[fails].fails(strict=False)
    assert sum(f.verdict == "worse" for f in found.values()) == 1


def test_what_is_too_noisy_to_decide_says_so_and_fails_strictly(tmp_path: Path, baseline: Path) -> None:
    found = {f.title: f for f in check(made(tmp_path / "now", times(noise=1.0, seed=1)), baseline)}
    assert found[PAIR].verdict == "cannot be told"
    assert not found[PAIR].fails(strict=False) and found[PAIR].fails(strict=True)


def test_a_metric_is_compared_on_the_images_that_both_hold(tmp_path: Path, baseline: Path) -> None:
    worse = {**METHODS, "reciprocam": {n: v - 0.02 * (n == "coherency") for n, v in METHODS["reciprocam"].items()}}
    table = rows(worse)
    half = table[table["image"] < "010.png"]
    found = {f.title: f for f in check(made(tmp_path / "now", table=half), baseline)}
    coherency = found["coherency of reciprocam (poppi-2021)"]
    assert coherency.verdict == "worse" and coherency.change.value == pytest.approx(-2)
    # The other images' values are no change, though the mean of these is another.
    assert found["coherency of scorecam (poppi-2021)"].change.value == 0
    assert "10 images in common; 10 now, 20 in the baseline" in coherency.reason


def test_values_are_compared_where_the_baseline_has_no_rows(tmp_path: Path, baseline: Path) -> None:
    edit(baseline, lambda content: content.update(rows=None))
    worse = {**METHODS, "reciprocam": {n: v + 0.02 * (n == "complexity") for n, v in METHODS["reciprocam"].items()}}
    found = {f.title: f for f in check(made(tmp_path / "now", table=rows(worse)), baseline)}
    complexity = found["complexity of reciprocam (poppi-2021)"]
    assert complexity.verdict == "worse" and complexity.change.value == pytest.approx(2)
    assert complexity.change.low is None and not complexity.reason


def test_tolerances_are_the_baselines(tmp_path: Path, baseline: Path) -> None:
    def lenient(content: dict) -> None:
        for ratio in content["ratios"]:
            ratio.update(tolerance=0.4, floor=0.5)
        for value in content["metrics"]:
            value.update(tolerance=3)

    worse = {**METHODS, "reciprocam": {n: v - 0.02 * (n == "coherency") for n, v in METHODS["reciprocam"].items()}}
    now = made(tmp_path / "now", times(reciprocam=12.5, seed=1), rows(worse))
    assert [f.verdict for f in check(now, baseline)].count("worse") >= 2
    edit(baseline, lenient)
    assert set(verdicts(check(now, baseline)).values()) == {"holds"}


def test_a_method_that_fails_now_is_worse(tmp_path: Path, baseline: Path) -> None:
    table = rows(METHODS)
    table.loc[table["method"] == "reciprocam", "status"] = "error: broken"
    table.loc[table["method"] == "reciprocam", list(METHODS["scorecam"])] = np.nan
    now = write(tmp_path / "now", table, methods=list(METHODS))
    rounds = times()
    time(now, rounds[rounds["method"] != "reciprocam"], "scorecam", failed={"reciprocam": "out of luck"})
    found = {f.title: f for f in check(now, baseline)}
    assert found[PAIR].verdict == "worse" and found[PAIR].in_words() == (
        f"{PAIR}: reciprocam could not be timed: out of luck"
    )
    assert found["adcc of reciprocam (poppi-2021)"].verdict == "worse"
    assert found[ALONE].verdict == "holds"


@pytest.mark.parametrize("paired", [True, False])
def test_a_method_that_fails_on_a_single_image_now_is_worse(tmp_path: Path, baseline: Path, paired: bool) -> None:
    if not paired:
        edit(baseline, lambda content: content.update(rows=None))
    table = rows(METHODS)
    broken = (table["method"] == "reciprocam") & (table["image"] == table["image"].iloc[0])
    table.loc[broken, "status"] = "error: broken"
    table.loc[broken, list(METHODS["scorecam"])] = np.nan
    found = {f.title: f for f in check(made(tmp_path / "now", table=table), baseline)}
    adcc = found["adcc of reciprocam (poppi-2021)"]
    assert adcc.verdict == "worse" and adcc.reason.startswith("1 map of an image judged has no value any more")
    assert found["adcc of scorecam (poppi-2021)"].verdict == "holds"


def test_a_small_value_is_held_to_a_tenth_of_it(tmp_path: Path) -> None:
    small = {n: v / 1000 if n == "coherency" else v for n, v in METHODS["reciprocam"].items()}
    table = rows({**METHODS, "reciprocam": small})
    made_of = update(made(tmp_path / "before", table=table), tmp_path / "baseline.json").metrics
    tolerances = {(v.method, v.metric): v.tolerance for v in made_of}
    assert tolerances["reciprocam", "coherency"] == 0.01 and tolerances["scorecam", "coherency"] == 0.5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fingerprint": {"weights": "b" * 64}}, "weights (bbbbbbbbbbbb, not aaaaaaaaaaaa)"),
        ({"fingerprint": {"device": "cpu: other"}}, "device (cpu: other, not cpu: one)"),
        ({"fingerprint": {"threads": 8}}, "threads (8, not 2)"),
        ({"precision": "bfloat16"}, "precision (bfloat16, not float32)"),
        ({"fingerprint": {"compile": True}}, "compile (True, not False)"),
        ({"backbone": {"layer": "layer3"}}, "layer (layer3, not layer4)"),
        ({"config": {"backbone": {"model": "torchvision/resnet50"}}}, "model (torchvision/resnet50, not"),
        ({"protocols": {"poppi-2021": {"version": 2, "classes": "predicted"}}}, "version of poppi-2021 (2, not 1)"),
        ({"format": 1}, "format of the run (1, not 2)"),
    ],
)
def test_a_run_of_something_else_is_refused_in_one_line(tmp_path: Path, changes: dict, said: str) -> None:
    same = {"precision": "float32", "backbone": {"layer": "layer4"}}
    machine = {"device": "cpu: one", "threads": 2}
    update(made(tmp_path / "before", **same, fingerprint=machine), tmp_path / "b.json")
    other = {**same, **changes, "fingerprint": {**machine, **changes.get("fingerprint", {})}}
    with pytest.raises(UserError) as refused:
        check(made(tmp_path / "now", **other), tmp_path / "b.json")
    assert said in str(refused.value) and "cannot be checked against" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_metrics_alone_are_checked_on_another_device(tmp_path: Path) -> None:
    before = write(tmp_path / "before", rows(METHODS), fingerprint={"device": "cpu: one", "threads": 2})
    assert not update(before, tmp_path / "b.json").ratios
    now = write(tmp_path / "now", rows(METHODS), fingerprint={"device": "cuda: two", "threads": 9})
    assert set(verdicts(check(now, tmp_path / "b.json")).values()) == {"holds"}


def test_times_alone_need_no_finished_run(tmp_path: Path) -> None:
    before = made(tmp_path / "before", finished=None)
    (before / "per_image.csv").unlink()
    baseline = update(before, tmp_path / "b.json")
    assert baseline.ratios and not baseline.metrics and baseline.rows is None and not baseline.pictures.data
    assert set(verdicts(check(before, tmp_path / "b.json")).values()) == {"holds"}


def test_a_number_that_the_run_does_not_have_is_told(tmp_path: Path, baseline: Path) -> None:
    rounds = times()
    now = made(tmp_path / "now", rounds[rounds["method"] != "scorecam"])
    with pytest.raises(UserError, match=r"holds no times of 'scorecam', end-to-end, batch 1, which .*baseline\.json"):
        check(now, baseline)
    now = write(tmp_path / "fewer", rows({"scorecam": METHODS["scorecam"]}), methods=["scorecam"])
    time(now, rounds, "scorecam")
    with pytest.raises(UserError, match="holds no average_drop of 'reciprocam' under poppi-2021, which"):
        check(now, baseline)
    untimed = write(tmp_path / "untimed", rows(METHODS))
    with pytest.raises(UserError, match=r"has no timing_rounds\.csv; time it with rcam-bench time"):
        check(untimed, baseline)
    with pytest.raises(UserError, match="is not finished; go on with rcam-bench run"):
        check(made(tmp_path / "unfinished", finished=None), baseline)


def test_an_update_keeps_what_is_checked_and_how(tmp_path: Path, baseline: Path) -> None:
    def fewer(content: dict) -> None:
        content["ratios"] = [{**content["ratios"][1], "tolerance": 0.2, "floor": 0.3}]
        content["metrics"] = [{**content["metrics"][4], "tolerance": 0.1}]

    edit(baseline, fewer)
    renewed = update(made(tmp_path / "now", times(reciprocam=20, seed=1)), baseline)
    (ratio,), (value,) = renewed.ratios, renewed.metrics
    assert str(ratio.pair) == PAIR and (ratio.tolerance, ratio.floor) == (0.2, 0.3)
    assert ratio.value == pytest.approx(50, rel=0.02) and ratio.low and ratio.low < ratio.value
    assert value.key == ("poppi-2021", "scorecam", "adcc") and value.tolerance == 0.1
    assert set(verdicts(check(tmp_path / "now", baseline)).values()) == {"holds"}


def test_a_run_without_numbers_makes_no_baseline(tmp_path: Path) -> None:
    empty = write(tmp_path / "run", rows(METHODS))
    (empty / "per_image.csv").unlink()
    with pytest.raises(UserError, match="holds neither times nor values of metrics; run it first"):
        update(empty, tmp_path / "b.json")
    assert not (tmp_path / "b.json").exists()


def test_without_a_method_to_compare_with_all_are_compared_with_the_network(tmp_path: Path) -> None:
    run = time(write(tmp_path / "run", rows(METHODS), methods=list(METHODS)), times())
    found = [str(r.pair) for r in update(run, tmp_path / "b.json").ratios]
    assert found == [ALONE, "reciprocam over forward, end-to-end, batch 1"]


def test_another_picture_under_an_old_name_is_refused(tmp_path: Path) -> None:
    for name, digest in (("before", "a" * 64), ("now", "b" * 64)):
        run = write(tmp_path / name, rows(METHODS))
        images = [f"{i:03d}.png" for i in range(20)]
        table = pd.DataFrame({"image": images, "bytes": "1", "modified": "1", "sha256": digest, "truth": ""})
        table.to_csv(run / "images.csv", index=False)
    update(tmp_path / "before", tmp_path / "b.json")
    with pytest.raises(UserError, match=r"images\.csv: '000\.png' is another picture than in .*b\.json"):
        check(tmp_path / "now", tmp_path / "b.json")
