"""The timing part of a run."""

import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from processes import FORKED
from tiny_runs import config, contents, environment, run, table, time_only, write_environment

from reciprocam_bench.config import TimingConfig
from reciprocam_bench.engine import timing_processes
from reciprocam_bench.engine.timing import _schedule
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.reporting.report import report

pytestmark = pytest.mark.slow


def test_timing_has_a_row_per_method_and_scope(pictures: Path, tmp_path: Path) -> None:
    timing = {"repeats": 3, "warmup": 0, "batch_size": 2, "relative_to": "reciprocam"}
    run(config(pictures, timing=timing, limit=2), tmp_path / "run")
    timing = table(tmp_path / "run", "timing")
    assert list(timing.columns) == [
        *("backbone", "method", "implementation", "scope", "batch_size", "relative_to", "repeats"),
        *("blocks", "median_ms", "q25_ms", "q75_ms", "device_median_ms", "images_per_s"),
        *("speedup", "speedup_low", "speedup_high", "forwards", "forwards_low", "forwards_high"),
        *("peak_memory_mb", "status"),
    ]
    pairs = [("forward", "forward")]
    pairs += [(m, s) for m in ("gradcam", "reciprocam") for s in ("end-to-end", "explainer")]
    assert list(zip(timing["method"], timing["scope"], strict=True)) == pairs
    assert set(timing["repeats"]) == {3}
    assert set(timing["blocks"]) == {3} and set(timing["batch_size"]) == {2}
    assert (timing["q25_ms"] <= timing["median_ms"]).all()
    assert (timing["median_ms"] <= timing["q75_ms"]).all()
    assert np.allclose(timing["images_per_s"], 2000 / timing["median_ms"], rtol=1e-4)
    assert (timing["peak_memory_mb"] > 0).all()
    own = timing[timing["method"] == "reciprocam"]
    assert (own[["speedup", "speedup_low", "speedup_high"]].astype(float) == 1).all(axis=None)
    assert environment(tmp_path / "run")["seconds"]["timing"] > 0
    machine = environment(tmp_path / "run")["machine"]
    assert 0 <= machine["others"] <= 1 and len(machine["load_average"]) == 2


def test_every_measured_call_is_kept(pictures: Path, tmp_path: Path) -> None:
    run(config(pictures, timing={"repeats": 12, "batch_size": [1, 3]}, limit=2), tmp_path / "run")
    rounds, timing = table(tmp_path / "run", "timing_rounds"), table(tmp_path / "run", "timing")
    assert len(rounds) == 12 * len(timing) and set(timing["batch_size"]) == {1, 3}
    assert set(rounds["block"]) == set(range(10)) and set(rounds["round"]) == set(range(12))
    for key, calls in rounds.groupby(["batch_size", "method", "scope"]):
        row = timing.set_index(["batch_size", "method", "scope"]).loc[key]
        assert row["median_ms"] == pytest.approx(calls["wall_ms"].median(), rel=1e-4)


def test_other_processes_take_turns(pictures: Path, tmp_path: Path) -> None:
    timing = {"repeats": 4, "processes": 2, "relative_to": "gradcam"}
    run(config(pictures, timing=timing, limit=1), tmp_path / "run")
    rounds = table(tmp_path / "run", "timing_rounds")
    assert rounds.groupby("block")["process"].unique().map(list).to_dict() == {0: [0], 1: [1], 2: [0], 3: [1]}
    assert set(rounds.groupby("process").size()) == {2 * 5}


def test_what_goes_wrong_in_another_process_is_told(
    pictures: Path, tmp_path: Path, method: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing_processes.multiprocessing, "get_context", lambda of: FORKED)
    method("test-here-alone", lambda fp: fp.features.mean(1))  # the other process does not know it
    timing = {"repeats": 2, "processes": 2, "methods": ["test-here-alone"]}
    with pytest.raises(UserError, match="timing in another process failed: unknown method 'test-here-alone'"):
        run(config(pictures, timing=timing, limit=1), tmp_path / "run")
    assert (tmp_path / "run/per_image.csv").is_file()


def test_another_process_keeps_freed_memory_as_the_first_does(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its calls are slower: large activations are mapped anew."""

    class Nobody:
        def send(self, answer: object) -> None:
            raise BrokenPipeError

    called = []
    monkeypatch.setattr(timing_processes, "keep_freed_memory", lambda: called.append(True))
    monkeypatch.setattr(timing_processes.signal, "signal", lambda *of: None)
    timed = config(pictures, timing={"repeats": 1})
    timing_processes._serve(Nobody(), timed, {"gradcam"}, {1: torch.zeros(1, 3, 224, 224)}, 1, 1)  # type: ignore[arg-type]
    assert called == [True]


def test_another_process_has_the_threads_of_the_first(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that a run was begun with, of which its config does not speak."""
    given: list[object] = []

    class Process:
        def __init__(self, args: tuple, **about: object) -> None:
            given.append(args[-1])
            raise OSError

    context = SimpleNamespace(Pipe=multiprocessing.Pipe, Process=Process)
    monkeypatch.setattr(timing_processes.multiprocessing, "get_context", lambda of: context)
    with pytest.raises(OSError), timing_processes.started(config(pictures), 1, [], {}, lambda rounds: None, {}):
        pass
    assert given == [torch.get_num_threads()]


@pytest.mark.parametrize(("repeats", "blocks"), [(1, [1]), (3, [1, 1, 1]), (10, [1] * 10), (25, [2, 3] * 5)])
def test_rounds_are_divided_into_blocks(repeats: int, blocks: list[int]) -> None:
    rounds = list(_schedule(TimingConfig(repeats=repeats), 1.0, lambda: 0.0))
    assert sorted(map(len, rounds)) == sorted(blocks)
    assert [i for block in rounds for i in block] == list(range(repeats))


def test_auto_goes_on_until_ratios_are_known() -> None:
    known = iter([0.3, 0.06, 0.05])
    rounds = list(_schedule(TimingConfig(repeats="auto"), 0.5, lambda: next(known)))
    assert [len(r) for r in rounds] == [4] * 7  # five blocks of two seconds, then until 5 %


def test_auto_takes_rounds_of_unknown_length_one_by_one() -> None:
    rounds = list(_schedule(TimingConfig(repeats="auto"), float("inf"), lambda: 0.0))
    assert [len(r) for r in rounds] == [1] * 5


def test_auto_ends_with_its_budget() -> None:
    rounds = list(_schedule(TimingConfig(repeats="auto", budget_s=1e-9), 100.0, lambda: 1.0))
    assert [len(r) for r in rounds] == [1, 1]


def test_a_slow_method_takes_as_long_as_it_takes(pictures: Path, tmp_path: Path, method: Callable) -> None:
    def slow(fp: ForwardPass) -> torch.Tensor:
        time.sleep(0.2)
        return fp.features.mean(1)

    method("test-slow", slow)
    timing = {"repeats": 3, "warmup": 0, "relative_to": "test-slow"}
    run(config(pictures, methods=["cam", "test-slow"], timing=timing, limit=1), tmp_path / "run")
    rows = table(tmp_path / "run", "timing").set_index(["method", "scope"])
    own, other = (rows.loc[(name, "explainer")] for name in ("test-slow", "cam"))
    assert 200 <= own["q25_ms"] <= own["median_ms"]
    assert other["median_ms"] < 100 and float(other["speedup"]) > 2
    forward = rows.loc[("cam", "end-to-end"), "median_ms"] - other["median_ms"]
    assert rows.loc[("test-slow", "end-to-end"), "median_ms"] == pytest.approx(200 + forward, rel=0.5)


@pytest.mark.parametrize("others", [["gradcam"], []])
def test_a_method_that_fails_everywhere_keeps_its_timing_rows_without_times(
    pictures: Path, tmp_path: Path, method: Callable, capsys: pytest.CaptureFixture, others: list[str]
) -> None:
    method("test-fails", lambda fp: 1 / 0)
    timing = {"repeats": 1, "warmup": 0, "relative_to": "test-fails"}
    run(config(pictures, methods=["test-fails", *others], limit=2, timing=timing), tmp_path / "run")
    assert table(tmp_path / "run", "summary").set_index("method").loc["test-fails", "errors"] == 2
    rows = table(tmp_path / "run", "timing").set_index("method")
    assert set(rows.loc["test-fails", "median_ms"]) == {""}
    assert set(rows.loc["test-fails", "status"]) == {"error: ZeroDivisionError: division by zero"}
    for other in others:
        assert (rows.loc[other, "median_ms"].astype(float) > 0).all() and set(rows.loc[other, "status"]) == {"ok"}
    note = "note: test-fails could not be timed: ZeroDivisionError: division by zero; nothing is timed against it"
    assert note in capsys.readouterr().err
    text = report(tmp_path / "run", "markdown")
    assert "failed" in text and "nan" not in text.replace("constant", "")


def test_a_method_that_fails_later_keeps_the_times_of_the_others(
    pictures: Path, tmp_path: Path, method: Callable
) -> None:
    calls = []

    def tires(fp: ForwardPass) -> torch.Tensor:
        calls.append(1)
        if len(calls) > 3:
            raise RuntimeError("no more")
        return fp.features.mean(1)

    method("test-tires", tires)
    timing = {"repeats": 4, "warmup": 0, "relative_to": "gradcam"}
    settings = config(pictures, methods=["test-tires", "gradcam"], metrics=["complexity"], limit=1, timing=timing)
    time_only(settings, tmp_path / "run")
    rows, rounds = table(tmp_path / "run", "timing").set_index("method"), table(tmp_path / "run", "timing_rounds")
    assert set(rows.loc["test-tires", "status"]) == {"error: RuntimeError: no more"}
    assert set(rows.loc["gradcam", "status"]) == set(rows.loc["forward", ["status"]]) == {"ok"}
    assert set(rounds["method"]) == {"forward", "gradcam"} and set(rounds["round"].astype(int)) == {0, 1, 2, 3}


def test_what_fails_in_another_process_is_known_to_the_first() -> None:
    ours, theirs = multiprocessing.Pipe()
    timer = timing_processes.OtherTimer(ours, lambda rounds: None)
    theirs.send(([], {"gradcam": "no more"}))
    assert timer.block(0, range(2)) == [] and timer.failed == {"gradcam": "no more"}
    assert theirs.recv() == (0, range(2), {})
    theirs.send(([], {}))
    timer.block(1, range(2))
    assert theirs.recv() == (1, range(2), {"gradcam": "no more"})


def test_a_method_that_cannot_say_how_it_computes_fails_alone(pictures: Path, tmp_path: Path, method: Callable) -> None:
    method("test-silent", lambda fp: fp.features.mean(1), implementation=lambda backbone, options: options["steps"])
    timing = {"repeats": 1, "warmup": 0, "methods": ["test-silent", "gradcam"]}
    run(config(pictures, limit=1, timing=timing), tmp_path / "run")
    rows = table(tmp_path / "run", "timing").set_index("method")
    assert set(rows.loc["test-silent", "status"]) == {"error: KeyError: 'steps'"}
    assert set(rows.loc["gradcam", "status"]) == {"ok"}


def test_a_label_is_one_method_where_it_is_judged_and_timed(pictures: Path, tmp_path: Path) -> None:
    same, other = {"name": "gradcam", "label": "S"}, {"name": "cam", "label": "S"}
    with pytest.raises(UserError, match=r"^timing.methods: 'S' is another method in methods; give one another label$"):
        run(config(pictures, methods=[same], timing={"repeats": 1, "methods": [other]}), tmp_path / "run")
    timing = {"repeats": 1, "warmup": 0, "methods": [{"name": "cam", "label": "timed"}, "gradcam"]}
    run(config(pictures, methods=["gradcam"], limit=1, timing=timing), tmp_path / "run")
    definitions = environment(tmp_path / "run")["definitions"]
    assert definitions["timed"]["timed"]["name"] == "cam" and set(definitions["methods"]) == {"gradcam"}
    # What was timed under a label says nothing of rows.
    timing = {**timing, "methods": [{"name": "scorecam", "label": "timed"}, "gradcam"]}
    run(config(pictures, methods=["gradcam"], limit=1, timing=timing), tmp_path / "run")
    assert environment(tmp_path / "run")["definitions"]["timed"]["timed"]["name"] == "scorecam"


def test_timing_alone(pictures: Path, tmp_path: Path) -> None:
    settings = config(pictures, timing={"repeats": 1, "warmup": 0, "methods": ["gradcam"]}, limit=1)
    time_only(settings, tmp_path / "run")
    assert table(tmp_path / "run", "timing")["method"].tolist() == ["forward", "gradcam", "gradcam"]
    assert not (tmp_path / "run/per_image.csv").exists()
    assert "finished" not in environment(tmp_path / "run")
    run(settings, tmp_path / "run")
    assert len(table(tmp_path / "run")) == 2


def test_timing_alone_without_a_timing_part_leaves_no_folder(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the config has no 'timing:' part"):
        time_only(config(pictures), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_timing_a_finished_run_leaves_it_finished(pictures: Path, tmp_path: Path) -> None:
    settings = config(pictures, timing={"repeats": 1, "warmup": 0}, limit=1)
    run(settings, tmp_path / "run")
    rows = (tmp_path / "run/per_image.csv").read_bytes()
    time_only(settings, tmp_path / "run")
    assert (tmp_path / "run/per_image.csv").read_bytes() == rows
    assert "finished" in environment(tmp_path / "run")


def test_timing_fewer_methods_gives_the_rows_tables_of_their_own(pictures: Path, tmp_path: Path) -> None:
    timing = {"repeats": 1, "warmup": 0}
    run(config(pictures, timing=timing, limit=2), tmp_path / "run")
    time_only(config(pictures, timing=timing, limit=1, methods=["gradcam"]), tmp_path / "run")
    summary = table(tmp_path / "run", "summary")
    assert (summary["method"].tolist(), summary["images"].tolist()) == (["gradcam"], [1])
    assert "gradcam" in report(tmp_path / "run", "markdown")


def test_times_are_not_put_beside_rows_of_other_conditions(pictures: Path, tmp_path: Path) -> None:
    settings = config(pictures, timing={"repeats": 1, "warmup": 0}, limit=1)
    run(settings, tmp_path / "run")
    content = environment(tmp_path / "run")
    content["fingerprint"]["device"] = "cpu: old"
    write_environment(tmp_path / "run", content)
    before = contents(tmp_path / "run")
    with pytest.raises(UserError, match=r"begun under other conditions .device was cpu: old"):
        time_only(settings, tmp_path / "run")
    assert contents(tmp_path / "run") == before


def test_rounds_that_were_lost_are_measured_again(pictures: Path, tmp_path: Path) -> None:
    settings = config(pictures, timing={"repeats": 1, "warmup": 0}, limit=1)
    run(settings, tmp_path / "run")
    rounds = tmp_path / "run/timing_rounds.csv"
    rounds.write_text(rounds.read_text().rpartition(",")[0])
    with pytest.raises(
        UserError, match=r"timing_rounds\.csv, line \d+: .*; delete the file and run again, which times anew"
    ):
        run(settings, tmp_path / "run")
    rounds.unlink()
    run(settings, tmp_path / "run")
    assert rounds.is_file() and "finished" in environment(tmp_path / "run")


def test_a_timing_process_that_is_killed_while_it_waits_is_told() -> None:
    mine, other = multiprocessing.Pipe()
    other.close()
    with pytest.raises(UserError, match="a process that timed was stopped from outside"):
        timing_processes.OtherTimer(mine, lambda rounds: None).block(0, range(1))


def test_timing_with_fewer_images_than_a_call_takes(pictures: Path, tmp_path: Path) -> None:
    for path in sorted(pictures.rglob("*.png"))[1:]:
        path.write_text("no image")
    settings = config(pictures, timing={"repeats": 1, "warmup": 0, "batch_size": 3}, methods=["gradcam"])
    run(settings, tmp_path / "run")
    assert set(table(tmp_path / "run", "timing")["batch_size"]) == {3}
