"""``rcam-bench compare``."""

from pathlib import Path
from typing import Annotated

import typer

from reciprocam_bench.cli import options
from reciprocam_bench.errors import UserError
from reciprocam_bench.runfolder.schema import COMPARISON


def command(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN_DIR...", help="Run folders of one network and data.")],
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", "-b", help="Compare all methods with this one, as tables name it. [default: all]"),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", "-m", help="Only this metric. Repeatable. [default: all]")
    ] = None,
    agreement: Annotated[bool, typer.Option("--agreement", help="Rank correlations of the methods' maps.")] = False,
    form: options.Format = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the CSV file. [default: the first RUN_DIR]", **options.PLACE),
    ] = None,
) -> None:
    """Print paired differences of methods, and of runs, with intervals and p-values, and write comparison.csv."""
    from reciprocam_bench.reporting.agreement import agree
    from reciprocam_bench.reporting.compare import compare

    form, width = options.form_and_width(form)
    if agreement:
        if len(folders) > 1 or baseline or metric:
            raise UserError("--agreement is of the maps of one run: give one RUN_DIR, without --baseline and --metric")
        print(agree(folders[0], form, output, width).rstrip("\n"))
        return
    text = compare(folders, form, baseline=baseline, metrics=metric or (), output=output, width=width)
    print(text.rstrip("\n"), flush=True)
    typer.echo(f"written to {(output or folders[0]) / COMPARISON}", err=True)
