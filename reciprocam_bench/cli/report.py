"""``rcam-bench report``."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN_DIR...", help="Run folders.")],
    form: Annotated[str, typer.Option("--format", "-f", help="markdown, latex or csv.")] = "markdown",
) -> None:
    """Print the tables of run folders."""
    from reciprocam_bench.reporting.report import report

    print("\n".join(report(folder, form) for folder in folders))
