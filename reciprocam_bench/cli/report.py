"""``rcam-bench report``."""

from pathlib import Path
from typing import Annotated

import typer

from reciprocam_bench.cli import options


def command(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN_DIR...", help="Run folders; one table of all.")],
    form: options.Format = None,
    part: Annotated[
        list[str] | None, typer.Option("--part", help="summary or timing. [default: both; csv: the summary]")
    ] = None,
) -> None:
    """Print the tables of run folders."""
    from reciprocam_bench.reporting.report import PARTS

    options.show(folders, form, part or PARTS)
