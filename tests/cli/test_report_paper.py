"""``rcam-bench report --paper`` from the command line, on a committed run."""

import io
import sys
from pathlib import Path

import pandas as pd
import pytest

from reciprocam_bench.cli import main

RUN = str(Path(__file__).parents[2] / "results" / "resnet18_imagenet_subset")


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["rcam-bench", "report", *words])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_csv_is_the_cells_or_the_claims(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, RUN, "--paper", "recipro-2024", "-f", "csv") == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out))
    measured = table[table["status"] == "measured"]
    assert set(measured["protocol"]) == {"recipro-2024", "poppi-2021"} and set(measured["images"]) == {500}
    assert set(measured["variant"]) == {"gradcam", "reciprocam", "reciprocam[mask=gaussian]"}
    assert call(monkeypatch, RUN, "--paper", "torchray-2019", "-f", "csv", "--part", "claims") == 0
    claims = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert set(claims["verdict"]) == {"not measured"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--paper", "recipro"), "--paper recipro: no such paper; did you mean 'recipro-2024'?"),
        (("--paper", "recipro-2024", "--part", "timing"), "--part timing: choose one of table, claims"),
        (("--part", "claims"), "--part claims: choose one of summary, timing; table and claims go with --paper"),
    ],
)
def test_mistakes_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    assert call(monkeypatch, RUN, *words) == 2
    err = capsys.readouterr().err.strip()
    assert err.endswith(message) and "\n" not in err
