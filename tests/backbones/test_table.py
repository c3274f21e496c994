"""The script behind docs/architectures.md."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "make_backbone_table.py"
PAGE = SCRIPT.parents[1] / "docs" / "architectures.md"


def table(pattern: str) -> subprocess.CompletedProcess:
    words = [sys.executable, str(SCRIPT), "--only", pattern, "--jobs", "1"]
    return subprocess.run(words, capture_output=True, text=True, timeout=300)


def test_two_networks_have_their_rows():
    page = table("timm/test_vit[2-9]")
    assert page.returncode == 0, page.stderr
    assert "2 of 2 networks are split, and give the same logits." in page.stdout
    assert "| timm/test_vit2 | `blocks` | graph | 64x10x10 | 1 | no | < 1e-5 |" in page.stdout
    assert "| timm/test_vit3 | `norm` | graph | 96x10x10 | 1 | no | < 1e-5 |" in page.stdout
    assert "2/2 timm/test_vit3: norm" in page.stderr
    for row in (line for line in page.stdout.splitlines() if line.startswith("| timm")):
        assert row in PAGE.read_text(encoding="utf-8"), "docs/architectures.md is not what the script writes"


def test_a_pattern_that_fits_nothing_is_a_mistake():
    page = table("timm/no such")
    assert page.returncode == 2
    assert "no model of the list is like timm/no such" in page.stderr
