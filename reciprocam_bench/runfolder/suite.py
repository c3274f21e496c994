"""A suite on disk: a folder with a run folder for each backbone, and the list of them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import yaml

from reciprocam_bench.config_backbone import BackboneConfig
from reciprocam_bench.errors import UserError
from reciprocam_bench.runfolder.disk import check_place, write_into
from reciprocam_bench.runfolder.schema import CONFIG
from reciprocam_bench.titles import file_name, not_taken
from reciprocam_bench.yaml_file import read_yaml

SUITE = "suite.yaml"
_CURE = "correct it, or run the suite again, which writes it anew"


def folder_names(backbones: Sequence[BackboneConfig], begun: Mapping[str, BackboneConfig] | None = None) -> list[str]:
    """A name for the run folder of each backbone: its model's, and what else tells it from the others of that model.

    A backbone that was ``begun`` under a name, in a shorter list perhaps, keeps it.
    """
    short, whole = ([_name(backbone, backbones, cut) for backbone in backbones] for cut in (_last, str))
    names = [long if short.count(name) > 1 else name for name, long in zip(short, whole, strict=True)]
    twice = next((name for place, name in enumerate(names) if backbones[place] in backbones[:place]), None)
    if twice:
        raise UserError(f"backbone: two of the list are the same, '{twice}'; give each once")
    kept = {i: n for i, backbone in enumerate(backbones) for n, other in (begun or {}).items() if other == backbone}
    used = {name.casefold() for name in kept.values()}
    return [kept[place] if place in kept else not_taken(name, used) for place, name in enumerate(names)]


def _name(backbone: BackboneConfig, backbones: Sequence[BackboneConfig], cut: Callable[[str], str]) -> str:
    alike = [other for other in backbones if other.model == backbone.model]
    differing = [str(value) for key, value in backbone if any(getattr(o, key) != value for o in alike) and value]
    return file_name("-".join([backbone.model.replace("/", "-"), *map(cut, differing)]))


def begin_suite(path: Path, names: Sequence[str]) -> None:
    """Make a folder a suite of these run folders; one that holds a single run is refused and left alone."""
    check_place(path)
    if (path / CONFIG).exists():
        raise UserError(f"{path} holds a run of one network; give --output another folder for the suite")
    text = yaml.safe_dump({"runs": list(names)}, sort_keys=False, allow_unicode=True)
    if not (path / SUITE).is_file() or (path / SUITE).read_bytes() != text.encode():  # shards would write it at once
        write_into(path, SUITE, text)


def check_single(path: Path) -> None:
    """Refuse to put a single run into the folder of a suite."""
    if is_suite(path):
        raise UserError(f"{path} holds a suite; give --output another folder for a run of one network")


def is_suite(path: Path) -> bool:
    """Whether a folder holds a suite."""
    check_place(path)
    return (path / SUITE).exists()


def run_folders(path: Path) -> list[Path]:
    """The run folders of a suite that were begun, in its order; a folder that is no suite stands for itself."""
    if not is_suite(path):
        return [path]
    begun = [path / name for name in listed(path) if (path / name / CONFIG).exists()]
    if not begun:
        raise UserError(f"{path} holds no run yet; run the suite first")
    return begun


def all_run_folders(paths: Sequence[Path]) -> list[Path]:
    """The run folders of several folders, suites among them; ``UserError`` where one is given twice."""
    return check_once([folder for path in paths for folder in run_folders(path)])


def check_once(folders: list[Path]) -> list[Path]:
    """The folders; ``UserError`` where one is given twice."""
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UserError("a run folder is given twice; give each once")
    return folders


def listed(suite: Path) -> list[str]:
    """The names of a suite's run folders, begun or not; ``UserError`` for a damaged list."""
    path = suite / SUITE
    content = read_yaml(path)
    names = content.get("runs")
    if not isinstance(names, list) or not names:
        raise UserError(f"{path}: 'runs' must list folders; {_CURE}")
    for name in names:
        if not isinstance(name, str) or name != file_name(name):
            raise UserError(f"{path}: runs: {str(name)[:60]!r} is no name of a folder here; {_CURE}")
    return names


def _last(text: str) -> str:
    return text.rpartition("/")[2]
