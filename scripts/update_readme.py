"""Write the made parts of the pages: tables of the committed results, and what is registered. Run it after new runs."""

import re
from collections.abc import Callable
from pathlib import Path

import headline
import pandas as pd
import reference_pages
import result_tables
import which_method

from reciprocam_bench.protocols.protocol import load_protocol, protocol_names
from reciprocam_bench.reporting.paper import paper_report
from reciprocam_bench.reporting.report import report
from reciprocam_bench.runfolder.schema import ProtocolDefinition
from reciprocam_bench.titles import title_of

ROOT = Path(__file__).resolve().parents[1]
DOCS = (
    "ci",
    "claims",
    "each_method",
    "each_metric",
    "export",
    "known_truth",
    "processes",
    "protocols",
    "runs",
    "which_method",
)
PAGES = (ROOT / "README.md", ROOT / "results" / "README.md", *(ROOT / "docs" / f"{name}.md" for name in DOCS))
# What may stand between `<!-- WORD -->`, or `<!-- WORD of NAME -->`, and `<!-- end of WORD -->`.
BLOCKS: dict[str, Callable[[Path, str], str]] = {
    "tables": lambda results, name: report(results / name, "markdown"),
    "text": lambda results, name: (results / name).read_text("utf-8"),
    "protocols": lambda results, name: protocols(),
    "methods": lambda results, name: reference_pages.methods(),
    "metrics": lambda results, name: reference_pages.metrics(results),
    "headline": lambda results, name: headline.headline(results, name or "results"),
    "claims": lambda results, name: claims(results, name.split("+")),
    "networks": result_tables.networks,
    "every metric": result_tables.every_metric,
    "metric differences": result_tables.metric_differences,
    "choice": lambda results, name: which_method.choice(results),
}
_BLOCK = re.compile(rf"(<!-- ({'|'.join(BLOCKS)})(?: of (\S+))? -->\n).*?(<!-- end of \2 -->)", re.DOTALL)


def with_tables(page: str, results: Path) -> str:
    """The page's text, with every block made anew: that after ``<!-- tables of NAME -->`` is that run folder's tables.

    ``text of NAME/FILE`` is that file, ``claims of NAME+NAME`` the paper's claims by these runs, ``headline of FOLDER``
    links to the runs in that folder as the page sees it; the others are of what is installed, and of all runs.
    """
    return _BLOCK.sub(lambda found: f"{found[1]}\n{BLOCKS[found[2]](results, found[3])}\n{found[4]}", page)


def claims(results: Path, names: list[str]) -> str:
    """What runs say of the claims of the Recipro-CAM paper; folders as they lie in the repository."""
    text = paper_report([results / name for name in names], "markdown", "recipro-2024", parts=["claims"])
    return text.replace(f"{results.parent}/", "")


def protocols() -> str:
    """A table with a row a choice and a column a protocol."""
    facts = {}
    for name in protocol_names():
        p = load_protocol(name)
        definition = ProtocolDefinition(version=p.version, classes=p.classes, choices=p.choices)
        facts[f"`{name}`"] = {key: _written(value) for key, value in definition.facts.items()}
    table = pd.DataFrame(facts).rename_axis("choice").reset_index()
    rows = [table.columns, ["---"] * len(table.columns), *table.itertuples(index=False)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _written(choice: object) -> str:
    """A choice in a word; options of metrics as tables name them."""
    if isinstance(choice, dict):
        return ", ".join(f"`{title_of(name, options)}`" for name, options in choice.items()) or "none"
    if isinstance(choice, bool):
        return "yes" if choice else "no"
    return "none" if choice is None else str(choice)


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(with_tables(path.read_text("utf-8"), ROOT / "results"), "utf-8")
