"""Write the tables of the pages from the committed results. Run it after new runs."""

import re
from pathlib import Path

from reciprocam_bench.reporting.report import report

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    ROOT / "README.md",
    ROOT / "results" / "README.md",
    ROOT / "docs" / "known_truth.md",
    ROOT / "docs" / "export.md",
)


def with_tables(page: str, results: Path) -> str:
    """The page's text, with the block after each ``<!-- tables of NAME -->`` replaced by that run folder's tables.

    Likewise the block after ``<!-- text of NAME/FILE -->`` by that file.
    """
    page = re.sub(
        r"(<!-- text of (\S+) -->\n).*?(<!-- end of text -->)",
        lambda found: f"{found[1]}\n{(results / found[2]).read_text('utf-8')}\n{found[3]}",
        page,
        flags=re.DOTALL,
    )
    return re.sub(
        r"(<!-- tables of (\S+) -->\n).*?(<!-- end of tables -->)",
        lambda found: f"{found[1]}\n{report(results / found[2], 'markdown')}\n{found[3]}",
        page,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(with_tables(path.read_text("utf-8"), ROOT / "results"), "utf-8")
