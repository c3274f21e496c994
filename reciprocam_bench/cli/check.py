"""``rcam-bench check``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from reciprocam_bench.cli import options


def command(
    folder: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="The run folder to check.")],
    against: Annotated[Path, typer.Option("--against", "-a", help="The baseline, a JSON file.", **options.PLACE)],
    update: Annotated[bool, typer.Option("--update", help="Write the baseline of this run instead.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Fail what cannot be told, too.")] = False,
    form: options.Format = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML.", **options.PLACE)] = None,
    github_benchmark: Annotated[
        Path | None,
        typer.Option(
            "--github-benchmark", help="Write customBiggerIsBetter of github-action-benchmark.", **options.PLACE
        ),
    ] = None,
    bencher: Annotated[
        Path | None, typer.Option("--bencher", help="Write the Bencher Metric Format.", **options.PLACE)
    ] = None,
) -> int:
    """Compare the speed-ups and metrics of a run with a baseline; exit code 1 where one has become worse."""
    from reciprocam_bench.gate.outcome import check_against, write_update

    if update:
        print(write_update(folder, against))
        return 0
    files = {"junit": junit, "github-benchmark": github_benchmark, "bencher": bencher}
    form, width = options.form_and_width(form)
    text, commands, failed = check_against(folder, against, form, width, strict, {k: p for k, p in files.items() if p})
    print(text.rstrip("\n"))
    for line in commands:  # not into a file that the table goes to
        print(line, file=sys.stderr)
    return int(failed)
