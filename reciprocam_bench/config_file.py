"""Config files: where they are found, their ``base``, overrides, and a list of backbones."""

import os
from copy import deepcopy
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from reciprocam_bench.config import Config, parse_config
from reciprocam_bench.config_protocol import found_beside
from reciprocam_bench.errors import UserError, did_you_mean
from reciprocam_bench.overrides import apply_overrides, set_keys
from reciprocam_bench.variables import expanded
from reciprocam_bench.yaml_file import read_yaml


def config_folders() -> list[Path]:
    """Where a bare config name is looked up: here, ``configs/``, a clone's ``configs/``, the installed copy."""
    package = Path(str(files("reciprocam_bench")))
    return [Path(), Path("configs"), package.parent / "configs", package / "configs"]


def find_config(name: str) -> Path:
    """Return the file of a config given by path or bare name, with or without ``.yaml``."""
    name = str(expanded(name))
    for folder in config_folders():
        for path in (folder / name, folder / f"{name}.yaml"):
            if os.path.isfile(path):  # noqa: PTH113 - False for names that no file system takes
                return path
    known = sorted({p.stem for folder in config_folders()[1:] for p in folder.glob("*.yaml")})
    raise UserError(
        f"config '{name}' not found here or in configs/ (rcam-bench ls configs){did_you_mean(Path(name).stem, known)}"
    )


class Loaded(NamedTuple):
    """A config, and notes for the reader on what of the file was left out because an override does not go with it."""

    config: Config
    notes: list[str]


class Suite(NamedTuple):
    """The experiments of a config whose ``backbone`` is a list, a config for each; and notes for the reader."""

    configs: list[Config]
    notes: list[str]


def load_config(name: str, overrides: tuple[str, ...] = (), **values: Any) -> Loaded:
    """Read a config: the file over its ``base``, then ``--set key=value`` overrides, then given ``values``."""
    loaded = load_experiments(name, overrides, **values)
    if isinstance(loaded, Suite):
        raise UserError(
            f"{find_config(name)}: backbone is a list of {len(loaded.configs)}; one is needed here: "
            "--set 'backbone={model: library/name}'"
        )
    return loaded


def load_experiments(name: str, overrides: tuple[str, ...] = (), **values: Any) -> Loaded | Suite:
    """As `load_config`; where ``backbone`` is a list, a config for each, and overrides are of each."""
    path = find_config(name)
    data = _with_base(path)
    whole = tuple(override for override in overrides if override.partition("=")[0] == "backbone")
    each = tuple(override for override in overrides if override not in whole)
    notes = apply_overrides(data, whole)
    backbones = data.get("backbone")
    if not isinstance(backbones, list):
        config, more = _parsed(data, str(path), each, values)
        return Loaded(config, notes + more)
    if not backbones:
        raise UserError(f"{path}: backbone: the list is empty; give networks, for example [torchvision/resnet18]")
    loaded = []
    for number, backbone in enumerate(backbones, 1):
        one = {"model": backbone} if isinstance(backbone, str) else deepcopy(backbone)
        loaded.append(_parsed(data | {"backbone": one}, f"{path}, backbone {number} of the list", each, values))
    return Suite([one.config for one in loaded], list(dict.fromkeys(n for one in loaded for n in one.notes)))


def _with_base(path: Path) -> dict[str, Any]:
    """The content of a config file, over that of its ``base``."""
    data = found_beside(read_yaml(path), path.parent)
    if "base" not in data:
        return data
    base = data.pop("base")
    if not isinstance(base, str):
        raise UserError(f"{path}: base: must name a file")
    base_path = path.parent / base
    base_path = base_path if base_path.is_file() else find_config(base)
    base_data = found_beside(read_yaml(base_path), base_path.parent)
    if "base" in base_data:
        raise UserError(f"{path}: base: {base} has a base itself; only one level is allowed")
    return base_data | data


def _parsed(data: dict[str, Any], where: str, overrides: tuple[str, ...], values: dict[str, Any]) -> Loaded:
    data = deepcopy(data)
    notes = apply_overrides(data, overrides)
    data |= {key: value for key, value in values.items() if value is not None}
    config, more = _reference_among_timed(parse_config(data, where), set_keys(overrides))
    return Loaded(config, notes + more)


def _reference_among_timed(config: Config, given: set[str]) -> Loaded:
    """A file's ``timing.relative_to`` goes where ``--set`` replaced the methods by others."""
    timing = config.timing
    if timing is None or timing.relative_to is None or not given & {"methods", "timing.methods"}:
        return Loaded(config, [])
    titles = [method.title for method in timing.methods or config.methods]
    if timing.relative_to in titles or given & {"timing", "timing.relative_to"}:
        return Loaded(config, [])
    note = f"timing.relative_to: {timing.relative_to} is left out; it is not among the methods timed"
    return Loaded(config.model_copy(update={"timing": timing.model_copy(update={"relative_to": None})}), [note])
