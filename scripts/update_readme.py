"""Write the tables of the pages from the committed results. Run it after new runs."""

import re
from pathlib import Path

import pandas as pd

from reciprocam_bench.protocols.protocol import load_protocol, protocol_names
from reciprocam_bench.reporting.report import report
from reciprocam_bench.runfolder.schema import ProtocolDefinition
from reciprocam_bench.titles import title_of

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    ROOT / "README.md",
    ROOT / "results" / "README.md",
    *(ROOT / "docs" / name for name in ("ci.md", "export.md", "known_truth.md", "protocols.md")),
)


def with_tables(page: str, results: Path) -> str:
    """The page's text, with the block after each ``<!-- tables of NAME -->`` replaced by that run folder's tables.

    Likewise the block after ``<!-- text of NAME/FILE -->`` by that file, and that after ``<!-- protocols -->`` by the
    choices of the installed protocols.
    """
    page = re.sub(
        r"(<!-- protocols -->\n).*?(<!-- end of protocols -->)",
        lambda found: f"{found[1]}\n{protocols()}\n{found[2]}",
        page,
        flags=re.DOTALL,
    )
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
