"""One process at a time makes a run folder; one that was killed holds nothing."""

import itertools
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from filelock import Timeout
from processes import Started, holding, rcam_bench
from tiny_runs import config, draw_plain, run, tables

from reciprocam_bench.config import dump_config
from reciprocam_bench.errors import UserError
from reciprocam_bench.runfolder import lock
from reciprocam_bench.runfolder.folder import opened


def hold(folder: Path, tell: Callable[[str], None]) -> None:
    with opened(folder, fresh=False):
        tell("held")
        time.sleep(60)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[BaseProcess]:
    """Another process that holds the folder ``run``."""
    process, told = holding(hold, tmp_path / "run")
    assert told == "held"
    yield process
    process.kill()
    process.join()


@pytest.mark.parametrize("fresh", [True, False])
def test_a_second_process_is_refused_and_told_who_holds_it(tmp_path: Path, holder, fresh: bool) -> None:
    with pytest.raises(UserError) as caught, opened(tmp_path / "run", fresh):
        pytest.fail("it was opened")
    told = f"{tmp_path / 'run'} is in use by process {holder.pid} on {socket.gethostname()} since 20"
    assert str(caught.value).startswith(told)
    assert str(caught.value).endswith("; wait for it to end, or give --output another folder")


def test_a_holder_that_was_killed_holds_nothing(tmp_path: Path, holder) -> None:
    holder.kill()
    holder.join()
    assert list((tmp_path / "run").iterdir())  # what it left behind
    with opened(tmp_path / "run", fresh=False):
        pass
    assert not list((tmp_path / "run").iterdir())


def test_a_lock_goes_with_the_run_also_when_it_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), opened(tmp_path / "run", fresh=False):
        raise ZeroDivisionError
    assert not list((tmp_path / "run").iterdir())
    with opened(tmp_path / "run", fresh=False):
        pass


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"pid": 1}', "\0"])
def test_a_holder_that_cannot_be_read_is_another_process(tmp_path: Path, holder, content: str) -> None:
    (tmp_path / "run/.lock.json").write_text(content)
    told = "is in use by another process; wait"
    with pytest.raises(UserError, match=told), opened(tmp_path / "run", fresh=False):
        pytest.fail("it was opened")


def test_one_of_a_launch_waits_for_as_many_turns_of_the_others_as_there_are(tmp_path: Path, monkeypatch) -> None:
    """Between two turns nobody is named for a moment; one that has waited long does not take that for a stranger's."""
    others, nobody = {"processes": 3}, {}
    seen, clock = iter([others, nobody, others, nobody, others]), itertools.count(0, 4)

    class Busy:
        def __init__(self, path: Path) -> None:
            self.left = 5

        def acquire(self, **_: object) -> None:
            self.left -= 1
            if self.left >= 0:
                raise Timeout(str(tmp_path))

        def release(self) -> None:
            pass

    monkeypatch.setattr(lock, "FileLock", Busy)
    monkeypatch.setattr(lock, "read_facts", lambda path: next(seen))
    monkeypatch.setattr(lock.time, "monotonic", lambda: next(clock))
    with lock.held(tmp_path, processes=3):
        assert next(seen, None) is None


@pytest.mark.slow
def test_of_two_runs_at_once_one_ends_as_if_alone(tmp_path: Path) -> None:
    root = draw_plain(tmp_path / "pictures", 6)
    settings = config(root, methods=[{"name": "reciprocam", "path": "reference"}], metrics=["complexity"])
    (tmp_path / "two.yaml").write_text(dump_config(settings))
    words = ("run", "-c", "two.yaml", "-o", "run", "--quiet")
    first = Started(*words, cwd=tmp_path)
    while first.returncode is None and not (tmp_path / "run/per_image.csv").is_file():
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGSTOP)
    try:
        second = rcam_bench(*words, cwd=tmp_path)
    finally:
        os.kill(first.pid, signal.SIGCONT)
    assert first.wait() == 0
    assert second.returncode == 2 and second.stdout == ""
    assert second.stderr.startswith(f"rcam-bench: run is in use by process {first.pid} on ")
    assert second.stderr.count("\n") == 1
    run(settings, tmp_path / "alone")
    assert tables(tmp_path / "run") == tables(tmp_path / "alone")
