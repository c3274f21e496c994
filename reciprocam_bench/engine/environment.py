"""What a run ran on: versions, device, precision, commit."""

import functools
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from reciprocam_bench.backbones.arithmetic import allow_tf32
from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.config import Config
from reciprocam_bench.engine.ranks import Rank, this_rank
from reciprocam_bench.errors import UserError
from reciprocam_bench.runfolder.record import read_environment
from reciprocam_bench.version import __version__

_PACKAGES = (
    *("torch", "torchvision", "timm", "numpy", "scipy", "pillow", "pandas"),
    *("torchcam", "grad-cam", "captum", "onnx", "onnxruntime"),
)


def choose_device(name: str, rank: Rank | None = None) -> torch.device:
    """The device a config names; ``auto`` takes a GPU where there is one. An absent one is a ``UserError``.

    Each process of a launch has a GPU of its own.
    """
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(device for device in ("cuda", "mps", "cpu") if present[device])
    if not present.get(name, False):
        raise UserError(f"device '{name}' is not available here; use --device cpu")
    if name != "cuda" or rank is None or rank.count == 1:
        return torch.device(name)
    if rank.local >= torch.cuda.device_count():
        raise UserError(
            f"process {rank.local} of this machine has no GPU: {torch.cuda.device_count()} are visible; "
            "start one process a GPU (where each sees its own alone: with LOCAL_RANK=0), or use --device cpu"
        )
    torch.cuda.set_device(rank.local)
    return torch.device("cuda", rank.local)


def set_up_torch(config: Config, threads: int | None = None) -> torch.device:
    """Seed, threads, whether TF32 is allowed, and the device: the same float32 arithmetic unless the config asks.

    ``threads`` is for a config that does not say how many; left out, processes of a launch divide the processors.
    """
    commit_at_start()
    torch.manual_seed(config.seed)
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # torch asks for it where there is a GPU
        torch.use_deterministic_algorithms(True)
    rank, threads = this_rank(), config.threads or threads
    if threads is None and rank.count > 1:
        threads = rank.cores
    if threads:
        torch.set_num_threads(threads)
    # ONNX Runtime is used on the CPU alone.
    device = choose_device("cpu" if config.device == "auto" and config.backbone.is_onnx else config.device, rank)
    # TF32 keeps 10 bits of mantissa: fast and equal maps could not be told from slow and different ones.
    allow_tf32(config.precision == "tf32")
    if config.precision == "tf32" and device.type != "cuda":
        raise UserError(f"precision: tf32 is only there on CUDA, and would be float32 on {device}; set float32")
    return device


def kept_threads(folder: Path) -> int | None:
    """As many threads as the run in a folder was begun with, None where none was begun.

    Sums of another division into threads may differ in their last digit, and a run goes on in any number of processes.
    """
    # What is wrong with a name that is no folder is said when it is opened.
    before = read_environment(folder) if folder.is_dir() else None
    threads = before.fingerprint.get("threads") if before else None
    return threads if isinstance(threads, int) and threads > 0 else None


# What `describe` and `fingerprint` say of versions, machine and arithmetic.
CONDITIONS = (
    *("rcam-bench", "commit", "python", "packages", "platform", "device", "cpu_cores", "threads", "precision", "tf32"),
    *("compile", "deterministic", "fingerprint"),
)


def fingerprint(backbone: Backbone) -> dict[str, Any]:
    """What must be the same for two halves of one run to be one run."""
    return {
        "rcam-bench": __version__,
        "torch": torch.__version__,
        "device": device_name(backbone.device),
        "threads": torch.get_num_threads(),
        "precision": backbone.arithmetic.precision,
        "compile": bool(backbone.arithmetic.compiled),
        "weights": backbone.weights.get("sha256", backbone.weights.get("source", "")),
        "head": backbone.weights.get("head_sha256", ""),
    }


def describe(config: Config, backbone: Backbone) -> dict[str, Any]:
    """The content of ``environment.json`` that does not change while a run goes on."""
    return {
        "rcam-bench": __version__,
        "commit": commit_at_start(),
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "platform": platform.platform(),
        "device": device_name(backbone.device),
        "cpu_cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "precision": config.precision,
        "tf32": config.precision == "tf32",
        "compile": config.compile,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "seed": config.seed,
        "backbone": {
            "model": backbone.name,
            "weights": backbone.weights,
            "layer": backbone.layer,
            "split": backbone.split,
            "split_error": backbone.split_error,
            "feature_shape": list(backbone.feature_shape),
            "linear_head": backbone.linear is not None,
            "folded_batch_norms": backbone.folded_batch_norms,
            "class_names": backbone.class_names,
        },
    }


def device_name(device: torch.device) -> str:
    """The GPU's name, or the processor's with its family and model: a virtual machine's name alone may be of any."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        first = ""
    pairs = (line.partition(":") for line in first.splitlines())
    facts = {key.strip(): value.strip() for key, _, value in pairs}
    name = facts.get("model name") or platform.processor() or platform.machine()
    known = [f"{what} {facts[key]}" for what, key in (("family", "cpu family"), ("model", "model")) if facts.get(key)]
    return f"{device.type}: {name}" + (f" ({', '.join(known)})" if known else "")


@functools.cache
def commit_at_start() -> str | None:
    """The commit of the code this process has loaded: asked once, as a clone may move on during a long run."""
    return git_commit()


def git_commit() -> str | None:
    """The commit of the clone the package runs from, with ``+changes`` if it was edited; None elsewhere."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        commit, status = (
            subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True).stdout.strip()
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}+changes" if status else commit


@functools.cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
