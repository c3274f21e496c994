"""Several processes make the same tables as one, whoever of them is killed, and however many go on."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml
from processes import Started, rcam_bench
from tiny_runs import config, draw_plain, environment, run, tables
from tiny_runs import settings as tiny

from reciprocam_bench.config import Config, dump_config
from reciprocam_bench.engine import loop, resume
from reciprocam_bench.engine.experiment import set_up
from reciprocam_bench.engine.ranks import Rank
from reciprocam_bench.engine.run import Screen
from reciprocam_bench.engine.together import enter, judge_share, share_of
from reciprocam_bench.errors import UserError
from reciprocam_bench.runfolder.folder import opened
from reciprocam_bench.runfolder.parts import Parts

pytestmark = pytest.mark.slow


def slowly() -> None:
    """In a process that is to take ``SLOW`` seconds more for each batch."""
    judge = loop.judge_batch

    def judge_slowly(*given):
        time.sleep(float(os.environ["SLOW"]))
        return judge(*given)

    loop.judge_batch = judge_slowly


def command(settings: Config, folder: Path, *options: str) -> list[str]:
    path = folder.parent / f"{folder.name}.yaml"
    path.write_text(dump_config(settings))
    return ["run", "-c", str(path), "-o", str(folder), *options]


def torchrun(words: Sequence[str], count: int, nodes: int) -> subprocess.CompletedProcess:
    """Launches as they are typed on each of several machines, here all on this one; what all of them said."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{found.getsockname()[1]}"
    meeting = ["--nnodes", str(nodes), "--rdzv-backend", "c10d", "--rdzv-endpoint", endpoint, "--rdzv-id", "test"]
    launcher = [sys.executable, "-m", "torch.distributed.run", *meeting, "--nproc-per-node", str(count)]
    asked = [*launcher, "-m", "reciprocam_bench", *words]
    running = [subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(nodes)]
    said = [process.communicate(timeout=300) for process in running]
    code = max(abs(process.returncode) for process in running)
    out, errors = ("".join(texts) for texts in zip(*said, strict=True))
    return subprocess.CompletedProcess(asked, code, out, errors)


def ranks(words: Sequence[str], slow: Sequence[float]) -> list[Started]:
    """The processes of a launch, one for each of ``slow``: the seconds that a batch takes it more."""
    started = []
    for number, seconds in enumerate(slow):
        about = {"RANK": str(number), "WORLD_SIZE": str(len(slow)), "LOCAL_RANK": str(number), "SLOW": str(seconds)}
        started.append(Started(*words, env=os.environ | about, prepare=slowly))
    return started


def launched(words: Sequence[str], count: int) -> subprocess.CompletedProcess:
    """A launch of so many processes, to its end; what all of them said."""
    running = ranks(words, [0] * count)
    said = [process.communicate() for process in running]
    code = max(abs(process.wait()) for process in running)
    out, errors = ("".join(texts) for texts in zip(*said, strict=True))
    return subprocess.CompletedProcess(words, code, out, errors)


def until(there) -> None:
    end = time.monotonic() + 120
    while not there():
        assert time.monotonic() < end
        time.sleep(0.02)


def parts_of(folder: Path) -> int:
    return len(list(folder.glob("parts/*/per_image.csv")))


def rows_of(folder: Path) -> int:
    return sum(max(0, path.read_bytes().count(b"\n") - 1) for path in folder.glob("parts/*/per_image.csv"))


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Config:
    root = draw_plain(tmp_path_factory.mktemp("pictures"), 13)
    (root / "007.png").write_bytes(b"no picture")
    return config(root, protocol=["poppi-2021", "recipro-2024"], classes="predicted")


@pytest.fixture(scope="module")
def alone(settings: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run by one process."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    run(settings, folder)
    return folder


def drawn(settings: Config) -> Config:
    return settings.model_copy(update={"maps": 1})


def assert_together(done: subprocess.CompletedProcess, folder: Path, alone: Path, count: int) -> None:
    assert done.returncode == 0, done.stderr
    assert tables(folder) == tables(alone)
    about = environment(folder)
    assert about["finished"] and [start["processes"] for start in about["starts"]] == [count]
    assert about["seconds"].keys() >= {"forward", "explain"}
    assert done.stderr.count("judging: 26/26 images") == 1  # one bar for all
    assert done.stdout.count("| gradcam") == 2 and done.stderr.count("written to") == 1
    assert (folder / "maps").is_dir() and not (folder / "parts").exists()


def test_torchrun_on_two_machines_makes_the_tables_of_one(settings: Config, alone: Path, tmp_path: Path) -> None:
    done = torchrun(command(drawn(settings), tmp_path / "run"), 1, nodes=2)
    assert_together(done, tmp_path / "run", alone, 2)


@pytest.mark.parametrize("count", [2, 4])
def test_processes_of_a_launch_make_the_tables_of_one(
    settings: Config, alone: Path, tmp_path: Path, count: int
) -> None:
    done = launched(command(drawn(settings), tmp_path / "run"), count)
    assert_together(done, tmp_path / "run", alone, count)


def test_processes_that_read_ahead_make_the_tables_of_one(settings: Config, alone: Path, tmp_path: Path) -> None:
    reading = settings.model_copy(update={"workers": 1})
    assert [process.wait(120) for process in ranks(command(reading, tmp_path / "run", "--quiet"), (0, 0.1))] == [0, 0]
    assert tables(tmp_path / "run") == tables(alone)


def test_a_deterministic_run_has_the_same_rows(settings: Config, alone: Path, tmp_path: Path) -> None:
    fixed = settings.model_copy(update={"deterministic": True})
    assert [process.wait(120) for process in ranks(command(fixed, tmp_path / "run", "--quiet"), (0,))] == [0]
    assert tables(tmp_path / "run") == tables(alone) and environment(tmp_path / "run")["deterministic"]


def test_a_killed_process_keeps_nobody_and_the_others_do_its_batches(
    settings: Config, alone: Path, tmp_path: Path
) -> None:
    first, second = ranks(command(settings, tmp_path / "run", "--quiet"), (0.1, 60))
    until(lambda: parts_of(tmp_path / "run") == 2 and rows_of(tmp_path / "run") > 2)
    second.kill()
    assert first.wait(120) == 0
    second.wait()
    assert tables(tmp_path / "run") == tables(alone) and environment(tmp_path / "run")["finished"]


@pytest.mark.parametrize("count", [1, 3])
def test_a_killed_launch_is_continued_by_any_number_of_processes(
    settings: Config, alone: Path, tmp_path: Path, count: int
) -> None:
    launch = ranks(command(settings, tmp_path / "run", "--quiet"), (0.15, 0.15))
    until(lambda: rows_of(tmp_path / "run") > 6)
    for process in launch:
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = rows_of(tmp_path / "run")
    assert kept < 48
    if count == 1:
        run(settings, tmp_path / "run")
    else:
        done = launched(command(settings, tmp_path / "run", "--quiet"), count)
        assert done.returncode == 0, done.stderr
    assert tables(tmp_path / "run") == tables(alone)
    assert [start["processes"] for start in environment(tmp_path / "run")["starts"]] == [2, count]


def test_only_processes_of_the_launch_are_let_in(settings: Config, alone: Path, tmp_path: Path) -> None:
    launch = ranks(command(settings, tmp_path / "run", "--quiet"), (0.1, 0.1))
    until(lambda: parts_of(tmp_path / "run") == 2 and rows_of(tmp_path / "run") > 2)
    for process in launch:
        process.send_signal(signal.SIGSTOP)
    try:
        words = command(settings, tmp_path / "run", "--quiet")
        # One after another: each holds the folder for a moment, and would be told of by the next.
        begin = [lambda: Started(*words)]
        begin += [lambda slow=slow: ranks(words, slow)[0] for slow in ((0, 0), (0, 0, 0))]
        others, told = [], []
        for start in begin:
            others.append(start())
            told.append(others[-1].communicate(timeout=120)[1])
    finally:
        for process in launch:
            process.send_signal(signal.SIGCONT)
    assert [process.returncode for process in others] == [2, 2, 2]
    for error in told:
        assert "run is in use by a launch of 2 processes; wait for it to end, or give --output another" in error
    assert [process.wait(120) for process in launch] == [0, 0]
    assert tables(tmp_path / "run") == tables(alone)


def test_the_first_process_times_when_the_others_are_done(settings: Config, tmp_path: Path) -> None:
    timed = settings.model_copy(
        update={"timing": config(Path(), timing={"repeats": 1, "warmup": 0}).timing, "limit": 4}
    )
    launch = ranks(command(timed, tmp_path / "run", "--quiet"), (0, 0.3))
    assert [process.wait(120) for process in launch] == [0, 0]
    assert (tmp_path / "run/timing.csv").is_file() and environment(tmp_path / "run")["finished"]


def test_a_suite_is_run_by_several_processes_backbone_by_backbone(tmp_path: Path) -> None:
    root = draw_plain(tmp_path / "pictures", 5)
    path = tmp_path / "suite.yaml"
    models = ("timm/test_resnet", "timm/test_efficientnet")
    backbones = [{"model": model, "weights": "none"} for model in models]
    path.write_text(yaml.safe_dump(tiny(root, backbone=backbones)))
    words = ["run", "-c", str(path), "--quiet", "-o"]
    assert rcam_bench(*words, str(tmp_path / "one")).returncode == 0
    done = launched([*words, str(tmp_path / "two")], 2)
    assert done.returncode == 0, done.stderr
    for folder in sorted((tmp_path / "one").iterdir()):
        if folder.is_dir():
            assert tables(folder) == tables(tmp_path / "two" / folder.name)
    assert (tmp_path / "two/suite.yaml").read_bytes() == (tmp_path / "one/suite.yaml").read_bytes()


def test_fresh_is_refused_to_several_processes(settings: Config, tmp_path: Path) -> None:
    about = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    done = rcam_bench(*command(settings, tmp_path / "run"), "--fresh", env=os.environ | about)
    assert done.returncode == 2 and not (tmp_path / "run").exists()
    assert "--fresh would remove what other processes have done; give --output another folder instead" in done.stderr


def test_one_that_comes_too_late_takes_nothing_and_writes_nothing(settings: Config, tmp_path: Path) -> None:
    parts = Parts(tmp_path / "run")
    with ExitStack() as stack:
        with opened(tmp_path / "run", fresh=False, processes=2) as folder:
            _, todo, run = enter(set_up(settings), folder, Rank(0, 2), Screen(True, print), stack, talks=True)
            part, batches = share_of(run, parts, stack)
        for place in range(len(todo)):  # by another process, which then joins the parts
            batches.finish(place)
        parts.clear()
        judge_share(run, todo, part, batches)
    assert todo and not part.path.exists() and not (tmp_path / "run/parts/batches").exists()


def test_one_that_joins_under_other_conditions_is_refused(
    settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment, screen = set_up(settings), Screen(True, print)
    with ExitStack() as stack:
        with opened(tmp_path / "run", fresh=False, processes=3) as folder:
            enter(experiment, folder, Rank(0, 3), screen, stack, talks=True)
        with opened(tmp_path / "run", fresh=False, processes=3) as folder:
            enter(experiment, folder, Rank(1, 3), screen, stack, talks=False)
        now = resume.fingerprint(experiment.backbone)
        monkeypatch.setattr(resume, "fingerprint", lambda backbone: now | {"torch": "1.0"})
        with (
            opened(tmp_path / "run", fresh=False, processes=3) as folder,
            pytest.raises(UserError, match=r"begun under other conditions \(torch was .*, is 1\.0\)"),
        ):
            enter(experiment, folder, Rank(2, 3), screen, stack, talks=False)
