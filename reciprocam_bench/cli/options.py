"""Options that several verbs share."""

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reciprocam_bench.config import OF_VALUES, Config
from reciprocam_bench.config_file import Suite, find_config, load_config, load_experiments
from reciprocam_bench.errors import UserError
from reciprocam_bench.titles import file_name
from reciprocam_bench.variables import expanded

if TYPE_CHECKING:
    from reciprocam_bench.engine.run import Screen

# Of every option that is a path.
PLACE: dict[str, Any] = {"parser": expanded, "metavar": "PATH"}

ConfigName = Annotated[
    str | None,
    typer.Argument(metavar="CONFIG", show_default=False, help="A config file, or the name of one in configs/."),
]
ConfigOption = Annotated[str | None, typer.Option("--config", "-c", help="The same, as an option.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Run folder. [default: runs/CONFIG, and what --set changes]", **PLACE),
]
Limit = Annotated[int | None, typer.Option("--limit", "-l", min=1, help="Only the first images.")]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda or mps.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Override a key: --set backbone.weights=none. Repeatable.")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Replace the run that is in the folder.")]
Format = Annotated[
    str | None, typer.Option("--format", "-f", help="markdown, latex, csv or terminal. [default: as stdout is]")
]
Shard = Annotated[
    str | None,
    typer.Option("--shard", metavar="I/N", help="Only every N-th batch, for job arrays: 1/N to N/N make the whole."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no tables.")]

# Which network, where no config needs to say it.
Model = Annotated[str | None, typer.Option("--model", "-m", help="torchvision/NAME, timm/NAME or onnx:PATH.")]
Factory = Annotated[str | None, typer.Option("--factory", help="A network of your own: package.module:function.")]
NetworkOf = Annotated[
    str | None, typer.Option("--config", "-c", help="A config that has the network, and what else applies here.")
]
Weights = Annotated[str | None, typer.Option("--weights", help="default, none, a named set, or a file.")]
Layer = Annotated[str | None, typer.Option("--layer", help="auto, or a layer's name.")]
ClassNames = Annotated[
    Path | None,
    typer.Option("--class-names", help="A file with a name a line, of a network of your own.", **PLACE),
]


def of_backbone(weights: str | None, layer: str | None, class_names: Path | None) -> dict[str, Any]:
    """The keys of a config that these options set; None says nothing."""
    names = None if class_names is None else str(class_names)
    return {"backbone.weights": weights, "backbone.layer": layer, "backbone.class_names": names}


def one_config(config: str | None, option: str | None) -> str:
    """The config's name, given as an argument or with ``--config``."""
    if config and option and config != option:
        raise UserError(f"two configs are given, '{config}' and '{option}'; give one")
    name = config or option
    if not name:
        raise UserError("no config is given; give a file or a name, for example quickstart (rcam-bench ls configs)")
    return name


def read_experiments(
    config: str, limit: int | None, device: str | None, overrides: list[str] | None
) -> Config | list[Config]:
    """As `read`; a config for each backbone where the config lists several."""
    loaded = load_experiments(config, tuple(overrides or ()), limit=limit, device=device)
    _tell(loaded.notes)
    return loaded.configs if isinstance(loaded, Suite) else loaded.config


def read(config: str, limit: int | None, device: str | None, overrides: list[str] | None) -> Config:
    """The config with the command line's values over it; what that leaves out of the file is told on stderr."""
    loaded = load_config(config, tuple(overrides or ()), limit=limit, device=device)
    _tell(loaded.notes)
    return loaded.config


def _tell(notes: Sequence[str]) -> None:
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def run_folder(config: str, output: Path | None, overrides: list[str] | None = None) -> Path:
    """The folder asked for, or ``runs/`` and the config's name, with what ``--set`` makes another experiment of it."""
    if output:
        return output
    split = [override.partition("=") for override in overrides or ()]
    others = [(key, value) for key, _, value in split if key.partition(".")[0] in OF_VALUES]
    parts = [f"{key.rpartition('.')[2]}-{file_name(Path(value).name or value)}" for key, value in others]
    return Path("runs") / "_".join([find_config(config).stem, *parts])[:120]


def screen(quiet: bool) -> "Screen":
    """Lines and bars on stderr, or nothing."""
    from reciprocam_bench.engine.run import Screen

    return Screen(
        quiet, (lambda *lines: None) if quiet else (lambda *lines: print(*lines, file=sys.stderr, flush=True))
    )


def run_each(
    settings: Config | list[Config],
    folder: Path,
    quiet: bool,
    do: Callable[[Config, Path, "Screen"], None],
    parts: Sequence[str],
) -> None:
    """Do it for one config, or for each backbone of a suite in a folder of its own; and show the tables."""
    from reciprocam_bench.engine.ranks import this_rank
    from reciprocam_bench.engine.suite import each_backbone
    from reciprocam_bench.runfolder.suite import check_single

    talk = screen(quiet)
    if isinstance(settings, Config):
        check_single(folder)
        do(settings, folder, talk)
    else:
        each_backbone(settings, folder, talk, do)
    if parts and not quiet and this_rank().leads:
        show(folder, parts=parts)


def show(folders: Path | Sequence[Path], form: str | None = None, parts: Sequence[str] = ("summary", "timing")) -> None:
    """Print the tables of run folders."""
    from reciprocam_bench.reporting.report import report

    form, width = form_and_width(form)
    print(report(folders, form, parts, width).rstrip("\n"))


def form_and_width(form: str | None) -> tuple[str, int]:
    """The format asked for, or the one for where stdout goes; and the width of a terminal where there is one."""
    return form or ("terminal" if sys.stdout.isatty() else "markdown"), shutil.get_terminal_size().columns
