"""``rcam-bench merge``."""

from pathlib import Path
from typing import Annotated

import typer

from reciprocam_bench.cli import options


def command(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="Run folders of shards, or a folder that holds them."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Run folder of the whole.", **options.PLACE)],
    quiet: options.Quiet = False,
) -> None:
    """Join the shards of a run that were made with --shard in folders of their own."""
    from reciprocam_bench.engine.merge import merge
    from reciprocam_bench.reporting.summary import write_tables

    merge(folders, output, options.screen(quiet), write_tables)
    if not quiet:
        options.show(output, parts=("summary",))  # shards are not timed
