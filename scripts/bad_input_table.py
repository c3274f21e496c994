"""Write docs/bad_input.md: every kind of bad input that the tests try, and what is told of it here."""

import os
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = "docs/bad_input.md"
_CASES = ROOT / "tests/bad_inputs"
_INTRODUCTION = """# Bad input, and what is told of it

Each of these is tried by a test (`tests/bad_inputs/`), which is also where this page comes from: `python
scripts/bad_input_table.py` writes it. On the command line a refusal is one line on stderr and exit code 2; images and
annotations that cannot be used are left out, and stand in `skipped.csv` with the reason. Words behind a colon may be
those of a library and change with its version. Full, read-only and lost places: [runs](runs.md#stop-go-on-grow).
"""


def in_a_cell(text: str) -> str:
    """Text as a cell of a Markdown table."""
    return text.replace("|", "\\|")


def plain(cell: str) -> str:
    """The message of a cell."""
    return cell.strip("`").strip().replace("\\|", "|")


def listed(page: str) -> dict[str, dict[str, str]]:
    """The cells of the page: by group, by kind."""
    groups: dict[str, dict[str, str]] = {}
    for part in page.split("\n## ")[1:]:
        title, _, table = part.partition("\n")
        rows = [re.split(r"(?<!\\) ?\| ?", line.strip())[1:3] for line in table.strip().splitlines()[2:]]
        groups[title] = {what.strip(): told.strip() for what, told in rows}
    return groups


def page() -> str:
    """The page, made by trying everything."""
    sys.path[:0] = [str(_CASES), str(_CASES.parent)]
    import bad_configs
    import bad_datasets
    import bad_images
    import bad_networks
    import bad_onnx
    from bad_kinds import said

    parts = [_INTRODUCTION]
    modules = (bad_configs, bad_images, bad_datasets, bad_networks, bad_onnx)
    for group, kinds in (each for module in modules for each in module.GROUPS.items()):
        rows = []
        for kind in kinds:
            with tempfile.TemporaryDirectory() as folder:
                os.chdir(folder)
                message = said(kind, Path(folder))
            rows.append(f"| {in_a_cell(kind.what)} | `` {in_a_cell(message)} `` |")
        parts.append("\n".join([f"## {group}", "", "| input | what is told |", "|---|---|", *rows, ""]))
    return "\n".join(parts)


if __name__ == "__main__":
    (ROOT / PAGE).write_text(page(), "utf-8")
