"""Signals that stop a run end it soon, with one line, and the same command goes on."""

import os
import resource
import signal
import time
from contextlib import suppress
from multiprocessing import connection
from pathlib import Path

import psutil
import pytest
import torch
from processes import Started, rcam_bench
from tiny_runs import config, draw_plain, run, tables

from reciprocam_bench.cli import main
from reciprocam_bench.cli.stopping import stopped_by_signals
from reciprocam_bench.config import dump_config

WORDS = ("run", "-c", "c.yaml", "-o", "run", "--quiet")
FULL = "out of memory: set a smaller batch_size, memory_mb or number of workers"
GOES_ON = "a run goes on where it was with the same command"


def worked(process: psutil.Process) -> float:
    """Seconds of the processor's time that a process and its children have had."""
    return sum(process.cpu_times()[:4]) + sum(sum(child.cpu_times()[:2]) for child in process.children())


def bound() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_stopped_says_so_and_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    settings = config(draw_plain(tmp_path / "pictures", 24), batch_size=1, workers=1)
    (tmp_path / "c.yaml").write_text(dump_config(settings))
    rows = tmp_path / "run/per_image.csv"
    process = Started(*WORDS, cwd=tmp_path)
    ours = psutil.Process(process.pid)
    try:
        while process.returncode is None and not (rows.is_file() and rows.read_text().count("\n") > 6):
            time.sleep(0.01)
        before = after = worked(ours)
        process.send_signal(number)
        with suppress(psutil.NoSuchProcess):
            while process.returncode is None:
                after = worked(ours)
                time.sleep(0.01)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    by = "" if number == signal.SIGINT else f" by {number.name}"
    assert said == f"\nrcam-bench: stopped{by}; {GOES_ON}\n"
    assert process.returncode == 128 + number
    # Of the processor's time: a machine that is shared takes as long as the others let it.
    assert after - before < 2
    assert not (tmp_path / "run/.lock").exists()
    run(settings, tmp_path / "run")
    run(settings, tmp_path / "whole")
    assert tables(tmp_path / "run") == tables(tmp_path / "whole")


def left_alone() -> None:
    """Ctrl-C comes while this process takes a batch from the one that reads ahead."""

    def interrupted(*given: object) -> None:
        raise KeyboardInterrupt

    connection.answer_challenge = interrupted


@pytest.mark.slow
def test_a_process_that_reads_ahead_has_no_last_words(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(dump_config(config(draw_plain(tmp_path / "pictures", 4), workers=1)))
    done = rcam_bench(*WORDS, cwd=tmp_path, prepare=left_alone)
    assert (done.returncode, done.stderr) == (130, f"\nrcam-bench: stopped; {GOES_ON}\n")


@pytest.mark.slow
def test_a_run_that_fills_the_disk_says_so_and_goes_on(tmp_path: Path) -> None:
    settings = config(draw_plain(tmp_path / "pictures", 30))
    (tmp_path / "c.yaml").write_text(dump_config(settings))
    done = rcam_bench(*WORDS, cwd=tmp_path, prepare=bound)
    kept = "what is done is kept, and the same command goes on from there"
    assert done.stderr == f"rcam-bench: run/per_image.csv cannot be written: File too large; {kept}\n"
    assert done.returncode == 2
    run(settings, tmp_path / "run")
    run(settings, tmp_path / "whole")
    assert tables(tmp_path / "run") == tables(tmp_path / "whole")


def test_a_signal_that_is_ignored_stays_so_and_handlers_go(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopped_by_signals() as came:
            os.kill(os.getpid(), signal.SIGHUP)  # as under nohup
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(5)
        assert came == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device", "/a/b"), "/a/b: No space left on device"),
        (OSError(30, "Read-only file system"), "Read-only file system"),
        (MemoryError(), FULL),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"), FULL),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            FULL,
        ),
    ],
)
def test_what_the_system_refuses_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, error: Exception, message: str
) -> None:
    def refused(*given: object, **more: object) -> None:
        raise error

    monkeypatch.setattr("reciprocam_bench.cli.app", refused)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert capsys.readouterr().err == f"rcam-bench: {message}; what is done is kept, the same command goes on\n"
