"""A process that dies at any write, rename or removal in its run folder leaves one that the next start finishes."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_runs import config, copy_of, draw_plain, run, set_up_once, tables

from reciprocam_bench.engine import sheets

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]

_DIED = 9
_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir")


def die_at(number: int, folder: Path) -> None:
    """End this process at its ``number``-th change in a folder."""
    changes = 0

    def watch(event: str, given: tuple) -> None:
        nonlocal changes
        opened = event == "open" and not isinstance(given[0], int) and set(str(given[1] or "r")) & set("wax+")
        if (opened or event in _CHANGES) and str(given[0]).startswith(str(folder)):
            changes += 1
            if changes == number:
                os._exit(_DIED)

    sys.addaudithook(watch)


def died(number: int, folder: Path, work: Callable[[], object]) -> bool:
    """Whether a process that dies at its ``number``-th change dies while it works."""
    child = os.fork()
    if not child:
        code = 1
        try:
            die_at(number, folder)
            work()
            code = 0
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, _DIED)
    return code == _DIED


def write_sheet(strips: object, path: Path, *how: object) -> None:
    """A file where a sheet would be: drawing takes half of a run's time."""
    path.with_name(f"{path.name}.png").write_bytes(b"a sheet")


@pytest.mark.parametrize("fresh", [False, True])
def test_what_died_at_any_change_is_finished_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: bool
) -> None:
    set_up_once(monkeypatch)
    monkeypatch.setattr(sheets, "save_figure", write_sheet)
    root, whole = draw_plain(tmp_path / "pictures", 3), tmp_path / "whole"
    settings = config(root, metrics=["complexity"], maps=1)
    run(settings, whole)
    number = 1
    while True:
        folder = tmp_path / f"run{number}"
        if fresh:
            copy_of(whole, folder)
        if not died(number, folder, lambda folder=folder: run(settings, folder, fresh=fresh)):
            break
        run(settings, folder)
        assert tables(folder) == tables(whole), number
        number += 4  # every one of them takes a minute
    assert number > 20
