"""Write the quickstart tables of README.md from the committed run folder. Run it after a new quickstart run."""

import re
from pathlib import Path

from reciprocam_bench.reporting.report import report

ROOT = Path(__file__).resolve().parents[1]


def with_tables(readme: str, tables: str) -> str:
    """The README's text with the block between its markers replaced."""
    pattern = r"(<!-- quickstart: [^\n]*-->\n).*?(<!-- end of quickstart -->)"
    return re.sub(pattern, lambda m: f"{m[1]}\n{tables}\n{m[2]}", readme, flags=re.DOTALL)


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(with_tables(path.read_text("utf-8"), report(ROOT / "results/quickstart", "markdown")), "utf-8")
