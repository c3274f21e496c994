"""A run that was stopped, in whatever way, ends in the same tables as one that was not."""

import signal
import time
from pathlib import Path

import pytest
from processes import Started
from tiny_runs import (
    config,
    contents,
    copy_of,
    counted,
    draw_plain,
    environment,
    run,
    stop_at,
    tables,
    unfinish,
    write_environment,
)

from reciprocam_bench.config import dump_config
from reciprocam_bench.engine import loop
from reciprocam_bench.errors import UserError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(seven: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, not stopped."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    run(config(seven), folder)
    return folder


@pytest.mark.parametrize(
    "batch, written", [(0, "before"), (0, "after"), (1, "half"), (2, "before"), (2, "after"), (3, "half")]
)
def test_a_stopped_run_continues_to_the_same_tables(
    seven: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int, written: str
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, batch, written)
        run(config(seven), tmp_path / "run")
    assert not (tmp_path / "run/summary.csv").exists()
    judged = counted(monkeypatch, loop, "judge_batch")
    run(config(seven), tmp_path / "run")
    assert tables(tmp_path / "run") == tables(whole)
    assert len(judged) == 4 - batch - (written == "after")


def test_a_run_stopped_twice_in_the_second_protocol(
    seven: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(seven, protocol=["poppi-2021", "recipro-2024"], classes="predicted", limit=4)
    run(settings, tmp_path / "whole")
    for batch in (1, 1):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            stop_at(patch, batch, "before")
            run(settings, tmp_path / "run")
    run(settings, tmp_path / "run")
    assert tables(tmp_path / "run") == tables(tmp_path / "whole")


def test_a_run_stopped_while_it_is_timed_does_not_judge_again(
    seven: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(seven, timing={"repeats": 1, "warmup": 0}, limit=3)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("reciprocam_bench.engine.steps.time_experiment", stop)
        run(settings, tmp_path / "run")
    rows = (tmp_path / "run/per_image.csv").read_bytes()
    monkeypatch.setattr("reciprocam_bench.engine.loop.judge_batch", stop)
    run(settings, tmp_path / "run")
    assert (tmp_path / "run/per_image.csv").read_bytes() == rows
    assert (tmp_path / "run/timing.csv").is_file()


def test_a_finished_run_asked_for_again_changes_nothing_and_says_so(seven: Path, whole: Path) -> None:
    before = contents(whole)
    said = run(config(seven), whole).splitlines()
    assert said[0] == f"{whole} holds this run, finished; --fresh runs it anew"
    unread = "1 image could not be read or prepared; skipped.csv says why"
    assert [line.partition(" (")[0] for line in said[1:]] == ["the weights are random", unread]
    assert contents(whole) == before


def test_fresh_runs_the_same_config_anew(seven: Path, tmp_path: Path) -> None:
    settings = config(seven, limit=1, maps=1)
    run(settings, tmp_path / "run")
    first = tables(tmp_path / "run")
    (tmp_path / "run/per_image.csv").write_text("spoilt")
    run(config(seven, limit=1), tmp_path / "run", fresh=True)
    assert tables(tmp_path / "run") == first
    assert not (tmp_path / "run/maps").exists()


def test_a_mistake_in_the_config_is_found_before_fresh_deletes_anything(seven: Path, tmp_path: Path) -> None:
    run(config(seven, limit=1), tmp_path / "run")
    before = contents(tmp_path / "run")
    backbone = {"model": "timm/test_resnet", "weights": "none", "layer": "layer9"}
    with pytest.raises(UserError, match="layer9"):
        run(config(seven, limit=1, backbone=backbone), tmp_path / "run", fresh=True)
    assert contents(tmp_path / "run") == before


def test_an_unfinished_run_begun_under_other_conditions_is_refused(seven: Path, whole: Path, tmp_path: Path) -> None:
    folder = copy_of(whole, tmp_path / "run")
    unfinish(folder)
    content = environment(folder)
    content["fingerprint"]["torch"] = "1.0"
    write_environment(folder, content)
    (folder / "per_image.csv").write_text((folder / "per_image.csv").read_text()[:400])
    before = contents(folder)
    told = r"begun under other conditions \(torch was 1\.0, is .*\); give --output another folder, or --fresh to"
    with pytest.raises(UserError, match=told):
        run(config(seven), folder)
    assert contents(folder) == before
    run(config(seven), folder, fresh=True)
    assert tables(folder) == tables(whole)


def test_a_finished_run_is_shown_under_any_conditions(seven: Path, whole: Path, tmp_path: Path) -> None:
    folder = copy_of(whole, tmp_path / "run")
    content = environment(folder)
    content["fingerprint"]["torch"] = "1.0"
    write_environment(folder, content)
    assert "holds this run, finished" in run(config(seven), folder)
    with pytest.raises(UserError, match=r"torch was 1\.0"):
        run(config(seven, methods=["gradcam", "reciprocam", "cam"]), folder)


def test_what_is_only_shown_keeps_the_conditions_it_was_made_under(seven: Path, whole: Path, tmp_path: Path) -> None:
    folder = copy_of(whole, tmp_path / "run")
    then = environment(folder)
    then |= {"threads": 64, "device": "cpu: old"}
    then["fingerprint"] |= {"threads": 64, "device": "cpu: old"}
    write_environment(folder, then)
    less = config(seven, methods=["gradcam"], threads=1)  # asks for less, so that nothing is computed
    assert "made under other conditions (device was cpu: old, is cpu" in run(less, folder)
    now = environment(folder)
    assert {key: now[key] for key in ("threads", "device", "fingerprint", "packages", "commit")} == {
        key: then[key] for key in ("threads", "device", "fingerprint", "packages", "commit")
    }
    with pytest.raises(UserError, match="device was cpu: old, is cpu"):
        run(config(seven, methods=["gradcam", "reciprocam", "cam"], threads=1), folder)


def test_seconds_of_earlier_starts_are_added_up(seven: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, 1, "before")
        run(config(seven), tmp_path / "run")
    content = environment(tmp_path / "run")
    assert "finished" not in content
    content["seconds"]["explain"] = 1000
    write_environment(tmp_path / "run", content)
    run(config(seven), tmp_path / "run")
    content = environment(tmp_path / "run")
    assert 1000 < content["seconds"]["explain"] < 1100
    assert "finished" in content and len(content["starts"]) == 2


def test_a_killed_process_started_again_ends_in_the_same_tables(tmp_path: Path) -> None:
    root = draw_plain(tmp_path / "pictures", 24)
    settings = config(root, batch_size=1, methods=["gradcam", {"name": "reciprocam", "path": "reference"}])
    (tmp_path / "kill.yaml").write_text(dump_config(settings))
    rows = tmp_path / "run/per_image.csv"
    process = Started("run", "-c", "kill.yaml", "-o", "run", "--quiet", cwd=tmp_path)
    try:
        while process.returncode is None and not (rows.is_file() and rows.read_text().count("\n") > 6):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert 6 < rows.read_text().count("\n") < 49
    assert not (tmp_path / "run/summary.csv").exists()
    run(settings, tmp_path / "run")
    run(settings, tmp_path / "whole")
    assert tables(tmp_path / "run") == tables(tmp_path / "whole")
