"""``rcam-bench ls``."""

import shutil
import sys
import textwrap
from collections.abc import Callable
from fnmatch import fnmatch
from functools import partial
from typing import Annotated

import typer

from reciprocam_bench.config_file import config_folders
from reciprocam_bench.errors import UserError, did_you_mean


def command(
    what: Annotated[str, typer.Argument(help="methods, metrics, models, datasets, protocols or configs.")],
    pattern: Annotated[str, typer.Argument(help="Only names that match, for example 'res*'.")] = "*",
) -> None:
    """List what can stand in a config."""
    listings: dict[str, Callable[[], dict[str, str]]] = {
        "methods": partial(_methods, pattern),
        "metrics": _metrics,
        "models": _models,
        "datasets": _datasets,
        "protocols": _protocols,
        "configs": _configs,
    }
    if what not in listings:
        raise UserError(f"ls {what}: no such listing{did_you_mean(what, listings)}")
    names = {
        n: text for n, text in listings[what]().items() if fnmatch(n, pattern) or fnmatch(n.rpartition("/")[2], pattern)
    }
    if not names:
        raise UserError(f"ls {what}: no name matches '{pattern}'")
    indent = max(map(len, names)) + 2
    for name, text in names.items():
        print(_fitted(f"{name:<{indent}}{text}".rstrip(), indent))


def _fitted(line: str, indent: int) -> str:
    """A line that goes on below its text in a terminal; a pipe gets a line a name."""
    columns = shutil.get_terminal_size().columns
    if not sys.stdout.isatty() or columns < indent + 30:
        return line
    return textwrap.fill(line, columns, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def _first_line(function: Callable) -> str:
    return (function.__doc__ or "").strip().partition("\n")[0]


def _methods(pattern: str) -> dict[str, str]:
    from reciprocam_bench.explainers.registry import EXPLAINERS
    from reciprocam_bench.registry import keyword_options

    listed = {}
    for name, spec in EXPLAINERS.available(pattern).items():
        options = ", ".join(keyword_options(spec.function))
        listed[name] = _first_line(spec.function) + (f" Options: {options}." if options else "")
    return listed


def _metrics() -> dict[str, str]:
    from reciprocam_bench.metrics.registry import METRICS
    from reciprocam_bench.registry import keyword_options

    listed = {}
    for name, spec in METRICS.all().items():
        options = ", ".join(keyword_options(spec.function))
        arrow = "↑" if spec.higher_is_better else "↓"
        listed[name] = f"{arrow} {_first_line(spec.function)}" + (f" Options: {options}." if options else "")
    return listed


def _models() -> dict[str, str]:
    from reciprocam_bench.backbones.load import known_models

    return {f"{library}/{name}": "" for library in ("torchvision", "timm") for name in known_models(library)}


def _datasets() -> dict[str, str]:
    from reciprocam_bench.datasets.registry import DATASETS

    return {name: _first_line(loader) for name, loader in DATASETS.all().items()}


def _protocols() -> dict[str, str]:
    from reciprocam_bench.protocols.protocol import load_protocol, protocol_names

    protocols = {name: load_protocol(name) for name in protocol_names()}
    return {name: f"v{p.version}  {p.paper or p.source}" for name, p in protocols.items()}


def _configs() -> dict[str, str]:
    found: dict[str, str] = {}
    for folder in reversed(config_folders()[1:]):
        found |= {path.stem: str(path) for path in sorted(folder.glob("*.yaml"))}
    return dict(sorted(found.items()))
