"""A picture, and ``rcam-bench explain`` called with it."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from explained_inputs import RANDOM, draw

from reciprocam_bench.cli import main

Cli = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An image of 60x40 with a name that is not plain, in a working folder of its own."""
    monkeypatch.chdir(tmp_path)
    return draw(tmp_path / "my dog ü.v2.png")


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Cli:
    def call(*words: object) -> tuple[int, list[str], str]:
        """Exit code, lines of stdout, and stderr without the note on random weights."""
        network = () if {"-c", "--factory"} & set(map(str, words)) else ("--weights", "none")
        command = ["rcam-bench", "explain", *words, *network, "--device", "cpu"]
        monkeypatch.setattr(sys, "argv", list(map(str, command)))
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return code, out.splitlines(), err.replace(RANDOM, "")

    return call
