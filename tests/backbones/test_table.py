"""The script behind docs/architectures.md."""

import sys
from pathlib import Path

import pytest
from load_script import load_script

pytestmark = pytest.mark.slow

PAGE = Path(__file__).resolve().parents[2] / "docs" / "architectures.md"


def table(monkeypatch: pytest.MonkeyPatch, pattern: str) -> None:
    monkeypatch.setattr(sys, "argv", ["make_backbone_table.py", "--only", pattern, "--jobs", "1"])
    load_script("make_backbone_table").main()


def test_two_networks_have_their_rows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    before = PAGE.read_bytes()
    table(monkeypatch, "timm/test_vit[2-9]")
    out, err = capsys.readouterr()
    assert "2 of 2 networks are split, and give the same logits." in out
    assert "| timm/test_vit2 | `blocks` | graph | 64x10x10 | 1 | no | < 1e-5 |" in out
    assert "| timm/test_vit3 | `norm` | graph | 96x10x10 | 1 | no | < 1e-5 |" in out
    assert "2/2 timm/test_vit3: norm" in err
    assert PAGE.read_bytes() == before, "a part of the table replaced the whole"
    for row in (line for line in out.splitlines() if line.startswith("| timm")):
        assert row in before.decode(), "docs/architectures.md is not what the script writes"


def test_a_pattern_that_fits_nothing_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as end:
        table(monkeypatch, "timm/no such")
    assert end.value.code == 2
    assert "no model of the list is like timm/no such" in capsys.readouterr().err
