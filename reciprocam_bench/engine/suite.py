"""One experiment on several backbones, one after another, in a folder of run folders."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from reciprocam_bench.config import Config
from reciprocam_bench.config_backbone import BackboneConfig
from reciprocam_bench.engine.ranks import this_rank
from reciprocam_bench.engine.run import Screen
from reciprocam_bench.errors import OUT_OF_MEMORY, UserError, is_out_of_memory
from reciprocam_bench.runfolder.record import read_record
from reciprocam_bench.runfolder.schema import CONFIG
from reciprocam_bench.runfolder.suite import begin_suite, folder_names, is_suite, listed


def each_backbone(
    configs: Sequence[Config], path: Path, screen: Screen, do: Callable[[Config, Path, Screen], None]
) -> None:
    """Call ``do`` for each backbone with its run folder and a screen that says which one it is.

    A backbone that cannot be run is told and left out, so that a night's work does not end at the second of six; the
    others are run, and a ``UserError`` at the end says what is missing.
    """
    names = folder_names([config.backbone for config in configs], _begun(path))
    if this_rank().leads:
        begin_suite(path, names)
    failed: dict[str, list[str]] = {}
    for number, (config, name) in enumerate(zip(configs, names, strict=True), 1):
        about = f"[{number}/{len(names)}] "
        screen.say(f"{about}{config.backbone.model}")
        try:
            do(config, path / name, replace(screen, about=about))
        except Exception as error:
            if not isinstance(error, UserError) and not is_out_of_memory(error):
                raise
            why = str(error) if isinstance(error, UserError) else OUT_OF_MEMORY
            screen.say(f"{about}left out: {why}")
            failed.setdefault(why, []).append(name)
    if failed:
        count = sum(map(len, failed.values()))
        reasons = "; ".join(f"{', '.join(those)}: {reason}" for reason, those in failed.items())
        others = "; the others are done, and the same command goes on" if count < len(names) else ""
        raise UserError(f"{count} of {len(names)} backbones could not be run: {reasons}{others}")


def _begun(path: Path) -> dict[str, BackboneConfig]:
    """The backbones of the runs that a suite holds; what is wrong with a run is said when it is its turn.

    A damaged list of them is written anew.
    """
    found: dict[str, BackboneConfig] = {}
    names: list[str] = []
    with suppress(UserError):
        names = listed(path) if is_suite(path) else []
    for name in names:
        if (path / name / CONFIG).is_file():
            with suppress(UserError):
                found[name] = read_record(path / name).config.backbone
    return found
