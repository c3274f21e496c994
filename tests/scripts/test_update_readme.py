"""The pages show what the committed run folders hold."""

import functools
import re
from pathlib import Path

import pytest
from load_script import load_script

from reciprocam_bench.reporting.report import report

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script():
    module = load_script("update_readme")
    module.report = functools.cache(module.report)  # several pages show the same runs
    return module


def test_each_block_is_replaced_by_its_own_run(script):
    page = "a\n<!-- tables of quickstart -->\nSTALE\n<!-- end of tables -->\nb\n"
    changed = script.with_tables(page, ROOT / "results")
    assert report(ROOT / "results/quickstart", "markdown") in changed
    assert "STALE" not in changed and changed.startswith("a\n") and changed.endswith("-->\nb\n")


def test_a_text_is_that_of_its_file(script):
    page = "a\n<!-- text of known_truth/table.md -->\nSTALE\n<!-- end of text -->\nb\n"
    changed = script.with_tables(page, ROOT / "results")
    assert (ROOT / "results/known_truth/table.md").read_text("utf-8") in changed
    assert "STALE" not in changed and changed.startswith("a\n") and changed.endswith("-->\nb\n")


NAMES = ("ci", "claims", "each_method", "each_metric", "export", "known_truth", "processes", "protocols", "runs")
NAMES += ("which_method",)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "results/README.md", *(f"docs/{name}.md" for name in NAMES)])
def test_the_pages_are_up_to_date(script, page):
    text = (ROOT / page).read_text("utf-8")
    assert re.search("<!-- (tables of|text of|protocols|methods|metrics|choice|claims of|headline)", text)
    assert script.with_tables(text, ROOT / "results") == text
