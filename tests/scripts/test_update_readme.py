"""The README shows what the committed run folder holds."""

import importlib.util
from pathlib import Path

import pytest

from reciprocam_bench.reporting.report import report

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("update_readme", ROOT / "scripts/update_readme.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_block_between_the_markers_is_replaced(script):
    text = "a\n<!-- quickstart: x -->\nold\n<!-- end of quickstart -->\nb\n"
    assert script.with_tables(text, "new\n") == "a\n<!-- quickstart: x -->\n\nnew\n\n<!-- end of quickstart -->\nb\n"


def test_the_readme_is_up_to_date(script):
    readme = (ROOT / "README.md").read_text("utf-8")
    assert script.with_tables(readme, report(ROOT / "results/quickstart", "markdown")) == readme
