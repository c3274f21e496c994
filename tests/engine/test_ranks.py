"""Which process of a launch this one is."""

import os

import pytest
import torch
from tiny_runs import config, draw_plain, run

from reciprocam_bench.engine import environment, experiment
from reciprocam_bench.engine.environment import choose_device, kept_threads, set_up_torch
from reciprocam_bench.engine.ranks import Rank, this_rank
from reciprocam_bench.errors import UserError

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch):
    """Set the launcher's variables; a value of None is not set."""

    def launch(*values: str | None) -> None:
        for name, value in zip(NAMES, values, strict=True):
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)

    return launch


@pytest.mark.parametrize(
    ("given", "rank"),
    [((None, None, None), Rank(0, 1, 0)), (("5", "8", "1"), Rank(5, 8, 1)), ((None, None, "3"), Rank(0, 1, 0))],
)
def test_the_launcher_says_which_one_it_is(launched, given: tuple, rank: Rank) -> None:
    launched(*given)
    assert this_rank() == rank and rank.leads == (rank.number == 0)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            ("0", None, "0"),
            r"WORLD_SIZE is not set, it must be a number: start with torchrun, or unset RANK, LOCAL_RANK",
        ),
        (("0", "2", None), r"LOCAL_RANK is not set"),
        (("one", "2", "0"), r"RANK is 'one', it must be a number"),
        (("-1", "2", "0"), r"RANK is '-1', it must be a number"),
        (("2", "2", "0"), r"RANK is 2, WORLD_SIZE 2: ranks count from 0; start with torchrun"),
    ],
)
def test_what_no_launcher_says_is_refused(launched, given: tuple, told: str) -> None:
    launched(*given)
    with pytest.raises(UserError, match=told):
        this_rank()


@pytest.fixture
def threads():
    """Torch's threads, put back afterwards."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("given", "found"), [(None, 2), (3, 3)])
def test_processes_divide_the_processors_unless_threads_are_given(
    launched, threads, tmp_path, monkeypatch: pytest.MonkeyPatch, given: int | None, found: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    launched("1", "4", "1")
    set_up_torch(config(draw_plain(tmp_path, 1), threads=given))
    assert torch.get_num_threads() == found
    assert Rank(0, 16, 0).cores == 1


def test_processors_are_counted_where_there_is_no_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert Rank(0, 2, 0).cores == 3
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert Rank(0, 1, 0).cores == 1


@pytest.mark.parametrize(("given", "found"), [(None, 3), (2, 2)])
def test_a_run_goes_on_with_the_threads_it_was_begun_with_unless_the_config_says_others(
    threads, tmp_path, given: int | None, found: int
) -> None:
    assert kept_threads(tmp_path) is None
    (tmp_path / "environment.json").write_text('{"format": 2, "fingerprint": {"threads": 3}}')
    set_up_torch(config(tmp_path, threads=given), kept_threads(tmp_path))
    assert torch.get_num_threads() == found


def test_the_network_is_opened_with_the_threads_of_the_run_before(
    threads, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/environment.json").write_text('{"format": 2, "fingerprint": {"threads": 3}}')
    torch.set_num_threads(1)

    def opened(*given: object) -> None:
        raise UserError(f"{torch.get_num_threads()} threads")

    monkeypatch.setattr(experiment, "set_up_backbone", opened)
    with pytest.raises(UserError, match="3 threads"):
        run(config(draw_plain(tmp_path / "pictures", 1), threads=None), tmp_path / "run")


def test_each_process_of_a_machine_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(environment.torch.cuda, "device_count", lambda: 2)
    chosen: list[int] = []
    monkeypatch.setattr(environment.torch.cuda, "set_device", chosen.append)
    assert choose_device("auto", Rank(5, 8, 1)) == torch.device("cuda", 1) and chosen == [1]
    assert choose_device("cuda", Rank()) == torch.device("cuda")
    assert choose_device("cpu", Rank(3, 4, 3)) == torch.device("cpu")
    with pytest.raises(UserError, match="process 2 of this machine has no GPU: 2 are visible; start one process a GPU"):
        choose_device("cuda", Rank(2, 4, 2))
