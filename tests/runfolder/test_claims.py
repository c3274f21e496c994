"""Things shared out among processes: nobody has what another one has, and a process that was killed has nothing."""

import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from processes import holding

from reciprocam_bench.errors import UserError
from reciprocam_bench.runfolder.claims import Claims


def take(path: Path, things: tuple[int, ...], tell: Callable[[list[bool]], None]) -> None:
    claims = Claims(path)
    tell([claims.take(i) for i in things])
    time.sleep(60)


def other(path: Path, *things: int) -> tuple[BaseProcess, list[bool]]:
    """Another process that takes things and holds on; what it got."""
    return holding(take, path, things)


def test_what_another_process_has_is_not_to_be_had_until_it_ends(tmp_path: Path) -> None:
    process, got = other(tmp_path / "claims", 0, 2)
    try:
        with Claims(tmp_path / "claims") as claims:
            assert got == [True, True] and claims.others()
            assert [claims.take(i) for i in range(4)] == [False, True, False, True]
            assert [claims.is_free(i) for i in (0, 2, 4)] == [False, False, True]
            process.kill()
            process.join()
            assert [claims.take(i) for i in (0, 2)] == [True, True] and not claims.others()
    finally:
        process.kill()
        process.join()


def test_what_is_done_is_taken_by_nobody(tmp_path: Path) -> None:
    with Claims(tmp_path / "claims") as claims:
        assert claims.take(3)
        claims.finish(3)
        assert not claims.take(3) and claims.done() == {3} and claims.take(2)
    process, got = other(tmp_path / "claims", 2, 3, 4)
    process.kill()
    process.join()
    assert got == [True, False, True]


def test_a_thing_given_back_is_free(tmp_path: Path) -> None:
    with Claims(tmp_path / "claims") as claims:
        assert claims.take(0)
        claims.give_back(0)
        process, got = other(tmp_path / "claims", 0)
        process.kill()
        process.join()
        assert got == [True]


def test_a_place_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone/claims cannot be opened: No such file or directory; give --output"):
        Claims(tmp_path / "gone/claims")
