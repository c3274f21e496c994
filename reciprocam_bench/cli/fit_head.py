"""``rcam-bench fit-head``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from reciprocam_bench.cli import options


def command(
    config: options.ConfigName = None,
    config_option: options.ConfigOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The head's file. [default: runs/CONFIG_head.safetensors]", **options.PLACE
        ),
    ] = None,
    limit: options.Limit = None,
    device: options.Device = None,
    set: options.Set = None,
    quiet: options.Quiet = False,
) -> None:
    """Fit a linear multi-label head for a VOC or COCO config, to be used as backbone.head."""
    name = options.one_config(config, config_option)
    settings = options.read(name, limit, device, set)
    folder = options.run_folder(name, None, set)
    path = output or folder.with_name(f"{folder.name}_head.safetensors")
    from reciprocam_bench.fitting.fit_head import fit_head

    say = (lambda *lines: None) if quiet else (lambda *lines: print(*lines, file=sys.stderr, flush=True))
    fit_head(settings, path, quiet=quiet, say=say)
    print(path)
