"""How much faster judge several processes of one thread each than one process of one thread?

Runs the command with few and with many images, once for each number of processes and in turn, several times over; what
starting costs falls out of the difference. Writes ``processes.csv`` and ``processes.json`` into results/scaling. The
machine must be idle and have a core for each process.

Usage: python scripts/measure_processes.py [--config NAME] [--processes 1 2] [--few N] [--many N] [--repeats N]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import torch

from reciprocam_bench.timing.machine import Reading, between

OUTPUT = Path(__file__).resolve().parents[1] / "results" / "scaling"


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config", default="resnet18_imagenet")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--few", type=int, default=16)
    parser.add_argument("--many", type=int, default=160)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], help="as of rcam-bench run")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    given = parser.parse_args()
    before, rows = Reading.now(), []
    for repeat in range(given.repeats):
        for count in given.processes:
            for images in (given.few, given.many):
                rows.append({"repeat": repeat, "processes": count, "images": images})
                rows[-1]["seconds"] = seconds_of(given.config, given.set, count, images)
                print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    given.output.mkdir(parents=True, exist_ok=True)
    table.to_csv(given.output / "processes.csv", index=False, float_format="%.4g")
    about = {"config": given.config, "set": given.set, "date": datetime.now(UTC).isoformat(timespec="seconds")}
    about |= {"images_per_s": rates(table), "machine": between(before, Reading.now(), torch.device("cpu"))}
    (given.output / "processes.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(about["images_per_s"]))


def rates(table: pd.DataFrame) -> dict[str, float]:
    """Images a second by number of processes, the median over the repeats."""
    found = {}
    for count, group in table.groupby("processes"):
        each = []
        for _, repeat in group.groupby("repeat"):
            few, many = repeat.sort_values("images").to_dict("records")
            each.append((many["images"] - few["images"]) / (many["seconds"] - few["seconds"]))
        found[str(count)] = round(statistics.median(each), 4)
    return found


def seconds_of(config: str, settings: list[str], count: int, images: int) -> float:
    """The time that a whole command takes, on one thread a process, without timing and pictures."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)] if count > 1 else []
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, *launcher, "-m", "reciprocam_bench", "run", "-c", config, "-o", f"{folder}/run"]
        words += ["--quiet", "--limit", str(images), "--device", "cpu"]
        for setting in ("threads=1", "maps=0", "timing=null", *settings):
            words += ["--set", setting]
        begun = time.perf_counter()
        subprocess.run(words, check=True)
        return time.perf_counter() - begun


if __name__ == "__main__":
    main()
