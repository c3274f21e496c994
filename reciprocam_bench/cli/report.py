"""``rcam-bench report``."""

from pathlib import Path
from typing import Annotated

import typer

from reciprocam_bench.cli import options
from reciprocam_bench.errors import UserError


def command(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN_DIR...", help="Run folders; one table of all.")],
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            help="markdown, latex, csv, terminal, or html: a page in the first folder. [default: as stdout is]",
        ),
    ] = None,
    part: Annotated[
        list[str] | None,
        typer.Option(
            "--part", help="summary or timing; with --paper table or claims. [default: both; csv: the first of the two]"
        ),
    ] = None,
    paper: Annotated[
        str | None,
        typer.Option("--paper", help="Beside a paper: recipro-2024, torchray-2019 or vit-reciprocam-2023."),
    ] = None,
) -> None:
    """Print the tables of run folders, or a paper's table and claims beside them; html: write a page of all."""
    if form == "html":
        _page(folders, part, paper)
        return
    from reciprocam_bench.reporting.paper import PAPER_PARTS, paper_report
    from reciprocam_bench.reporting.report import PARTS

    if paper is None:
        wrong = next((name for name in part or () if name in PAPER_PARTS), None)
        if wrong is not None:
            raise UserError(f"--part {wrong}: choose one of {', '.join(PARTS)}; table and claims go with --paper")
        options.show(folders, form, part or PARTS)
        return
    form, width = options.form_and_width(form)
    print(paper_report(folders, form, paper, part or PAPER_PARTS, width).rstrip("\n"))


def _page(folders: list[Path], part: list[str] | None, paper: str | None) -> None:
    """Write the page and print where it is."""
    from reciprocam_bench.reporting.page.write import write_page

    if part or paper:
        option = "--part" if part else "--paper"
        raise UserError(f"{option} does not go with --format html: the page holds all; leave {option} out")
    print(write_page(folders))
