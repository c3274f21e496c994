"""What a check prints, writes and ends with."""

import io
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_runs import calls, rows, time, values, write

from reciprocam_bench.cli import main
from reciprocam_bench.errors import UserError
from reciprocam_bench.gate.outcome import check_against
from reciprocam_bench.gate.update import update

METHODS = {"scorecam": values(20, 1), "reciprocam": values(20, 2, 0.1)}


@pytest.fixture
def before(tmp_path: Path) -> Path:
    return made(tmp_path / "before")


@pytest.fixture
def baseline(tmp_path: Path, before: Path) -> Path:
    update(before, tmp_path / "b.json")
    return tmp_path / "b.json"


def made(path: Path, reciprocam: float = 10.0, noise: float = 0.01, **changes: object) -> Path:
    rng = np.random.default_rng(0)
    typical = {"forward": 8.0, "scorecam": 1000.0, "reciprocam": reciprocam}
    write(path, rows(METHODS), methods=list(METHODS), **changes)
    return time(path, calls({n: ms * rng.lognormal(0, noise, 40) for n, ms in typical.items()}), "scorecam")


def run(
    patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, *words: object, actions: str = ""
) -> tuple[int, str, str]:
    patch.setenv("GITHUB_ACTIONS", actions)
    patch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    patch.setattr(sys, "argv", ["rcam-bench", "check", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


def test_exit_codes(
    tmp_path: Path, baseline: Path, before: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    code, out, _ = run(monkeypatch, capsys, before, "--against", baseline)
    assert code == 0 and "12 hold" in out
    slow = made(tmp_path / "slow", reciprocam=12.5)
    code, out, err = run(monkeypatch, capsys, slow, "--against", baseline)
    assert code == 1 and "1 worse, 11 hold" in out and not err
    noisy = made(tmp_path / "noisy", noise=0.5)
    assert run(monkeypatch, capsys, noisy, "--against", baseline)[0] == 0
    assert run(monkeypatch, capsys, noisy, "--against", baseline, "--strict")[0] == 1
    code, out, err = run(monkeypatch, capsys, made(tmp_path / "w", fingerprint={"weights": "b" * 64}), "-a", baseline)
    assert code == 2 and not out and err.count("\n") == 1 and "weights (bbbbbbbbbbbb, not aaaaaaaaaaaa)" in err
    code, out, err = run(monkeypatch, capsys, slow, "--against", baseline, "--update")
    assert code == 0 and out == f"written to {baseline}: 2 ratios, 10 values of metrics, with the rows of the run\n"
    assert run(monkeypatch, capsys, slow, "--against", baseline)[0] == 0


def test_all_files_are_written_though_it_fails(
    tmp_path: Path, baseline: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    names = {"--junit": "j.xml", "--github-benchmark": "g.json", "--bencher": "b2.json"}
    words = [word for option, name in names.items() for word in (option, tmp_path / name)]
    slow = made(tmp_path / "slow", reciprocam=12.5)
    assert run(monkeypatch, capsys, slow, "--against", baseline, *words)[0] == 1
    assert all((tmp_path / name).stat().st_size for name in names.values())
    code, _, err = run(monkeypatch, capsys, slow, "--against", baseline, "--junit", tmp_path / "no/where.xml")
    assert code == 2 and "cannot be written" in err and "give --junit another file" in err


def test_lines_for_github_do_not_go_where_the_table_goes(
    tmp_path: Path, baseline: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    slow = made(tmp_path / "slow", reciprocam=12.5)
    code, out, err = run(monkeypatch, capsys, slow, "--against", baseline, "--format", "csv", actions="true")
    assert code == 1 and len(pd.read_csv(io.StringIO(out))) == 12
    assert "::" not in out and err.startswith("::error title=rcam-bench check::")


def test_formats(tmp_path: Path, baseline: Path, before: Path) -> None:
    slow = made(tmp_path / "slow", reciprocam=12.5, fingerprint={"torch": "9.9"})
    text, _, failed = check_against(slow, baseline, "csv", 100, False, {})
    table = pd.read_csv(io.StringIO(text))
    assert failed and list(table["kind"]) == ["ratio"] * 2 + ["metric"] * 10
    worse = table[table["verdict"] == "worse"].iloc[0]
    assert worse["change"] == pytest.approx(0.8, rel=0.02) and worse["change_low"] < 0.8 < worse["change_high"]
    markdown, _, _ = check_against(slow, baseline, "markdown", 100, False, {})
    assert "| reciprocam over scorecam, end-to-end, batch 1 |" in markdown and "| worse" in markdown
    latex, _, _ = check_against(slow, baseline, "latex", 100, False, {})
    assert r"\begin{tabular}" in latex and "tab:check" in latex
    terminal, _, _ = check_against(slow, baseline, "terminal", 60, False, {})
    assert max(map(len, terminal.splitlines()[2:])) <= 60
    with pytest.raises(UserError, match="--format word: choose one of"):
        check_against(slow, baseline, "word", 100, False, {})


def test_notes_say_what_a_reader_must_know(tmp_path: Path, baseline: Path) -> None:
    now = made(tmp_path / "now", fingerprint={"torch": "9.9"}, machine={"others": 0.5, "steal": 0.0})
    old = made(tmp_path / "old", fingerprint={"torch": "2.5"})
    update(old, tmp_path / "old.json")
    text, _, _ = check_against(now, tmp_path / "old.json", "markdown", 100, False, {})
    assert "Note: the run differs from the baseline in torch (9.9, not 2.5)." in text
    assert "Note: while timing, other processes used 50 % of the processors" in text
    assert "Note" not in check_against(old, tmp_path / "old.json", "markdown", 100, False, {})[0]
