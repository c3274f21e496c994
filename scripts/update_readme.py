"""Write the tables of README.md and results/README.md from the committed run folders. Run it after new runs."""

import re
from pathlib import Path

from reciprocam_bench.reporting.report import report

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", ROOT / "results" / "README.md")


def with_tables(page: str, results: Path) -> str:
    """The page's text, with the block after each ``<!-- tables of NAME -->`` replaced by that run folder's tables."""
    return re.sub(
        r"(<!-- tables of (\S+) -->\n).*?(<!-- end of tables -->)",
        lambda found: f"{found[1]}\n{report(results / found[2], 'markdown')}\n{found[3]}",
        page,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(with_tables(path.read_text("utf-8"), ROOT / "results"), "utf-8")
