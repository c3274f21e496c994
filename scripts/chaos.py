"""Kill processes of runs at random moments, go on with another number of them, and compare the tables byte by byte.

A tiny network on drawn pictures is run by one process without a stop. Then runs of the same config are begun by 1 to 4
processes; at a random moment one process, or all of them, get SIGKILL; the next start has another number of processes.
Moments are spread over what a start takes, and each third kill waits until rows are being joined or summarised. After
the last kill a start is let go to its end. Every table must be that of the undisturbed run.

Usage: python scripts/chaos.py [--kills N] [--seed N] [--images N] [--keep DIR] [--output DIR]
"""

import argparse
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image

from reciprocam_bench.engine.environment import commit_at_start, device_name

TABLES = ("per_image.csv", "summary.csv", "skipped.csv", "images.csv")
KILLS_A_RUN = 5
# Files whose first sight tells that a process is past judging: it joins the rows, or it made the summary.
_JOINING = (".per_image.csv.part", ".skipped.csv.part", ".images.csv.part", ".summary.csv.part", "summary.csv")


@dataclass
class Launch:
    """The processes of one start."""

    processes: list[subprocess.Popen]

    @property
    def alive(self) -> list[subprocess.Popen]:
        """Those that have not ended."""
        return [process for process in self.processes if process.poll() is None]

    def kill(self, victims: list[subprocess.Popen]) -> None:
        """SIGKILL, and wait until they are gone."""
        for process in victims:
            process.send_signal(signal.SIGKILL)
        for process in victims:
            process.wait()

    def end(self) -> list[int]:
        """Wait for all; their exit codes."""
        return [process.wait() for process in self.processes]


def main() -> None:
    """Kill, go on, compare; exit code 1 where a table differs or a start failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--keep", type=Path, help="a folder for the runs, which are kept")
    parser.add_argument("--output", type=Path, help="a folder for what was found, as JSON and as a line of Markdown")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = given.keep or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        counts = chaos(place, given.kills, given.seed, given.images)
    print(", ".join(f"{count} {what}" for what, count in sorted(counts.items())))
    if given.output:
        write(given.output, counts, given.seed, given.images)
    sys.exit(1 if counts["runs that differ"] else 0)


def write(output: Path, counts: Counter[str], seed: int, images: int) -> None:
    """What was found, and on what."""
    device = device_name(torch.device("cpu"))
    facts = {"counts": dict(sorted(counts.items())), "seed": seed, "images": images, "device": device}
    facts |= {"cpu_cores": os.cpu_count(), "commit": commit_at_start(), "torch": torch.__version__}
    facts |= {"python": platform.python_version(), "date": datetime.now(UTC).isoformat(timespec="seconds")}
    output.mkdir(parents=True, exist_ok=True)
    (output / "chaos.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    hit = ", ".join(
        f"{n} {what[6:]}" for what, n in sorted(counts.items(), reverse=True) if what.startswith("kills of")
    )
    text = (
        f"{counts['kills']} kills ({hit}) in {counts['runs']} runs of {images} images: "
        f"{counts['runs that differ']} runs had other tables than the undisturbed one. {device}, {os.cpu_count()} "
        f"cores, seed {seed}, {facts['date'][:10]}.\n"
    )
    (output / "chaos.md").write_text(text, encoding="utf-8")


def chaos(place: Path, kills: int, seed: int, images: int) -> Counter[str]:
    """So many kills in runs under a folder; what was killed when, and how many runs differ."""
    config = make_config(place, images, seed)
    begun = time.monotonic()
    whole = Launch(start(config, place / "whole", 1)).end()
    if whole != [0]:
        raise SystemExit("the undisturbed run failed")
    seconds = time.monotonic() - begun
    rng, counts = random.Random(seed), Counter({"kills": 0, "runs": 0, "runs that differ": 0})
    while counts["kills"] < kills:
        folder = place / f"run{counts['runs']}"
        count = rng.randint(1, 4)
        for _ in range(min(KILLS_A_RUN, kills - counts["kills"])):
            count = rng.choice([n for n in (1, 2, 3, 4) if n != count])
            hit = strike(config, folder, count, seconds, rng)
            if hit is None:
                break  # it came to its end before
            counts[hit] += 1
            counts["kills"] += 1
        count = rng.choice([n for n in (1, 2, 3, 4) if n != count])
        codes = Launch(start(config, folder, count)).end()
        counts["runs"] += 1
        different = differing(place / "whole", folder)
        if different or any(codes):
            counts["runs that differ"] += 1
            print(f"{folder}: exit codes {codes}, other bytes in {different}", flush=True)
    return counts


def strike(config: Path, folder: Path, count: int, seconds: float, rng: random.Random) -> str | None:
    """One start of so many processes that is hit once; what was hit, None where all had ended before."""
    launch = Launch(start(config, folder, count))
    late = rng.random() < 1 / 3
    until = time.monotonic() + rng.uniform(0.3, 1.1) * seconds
    while launch.alive and (late or time.monotonic() < until):
        if late and is_joining(folder):
            time.sleep(rng.uniform(0, 0.3))
            break
        time.sleep(0.005)
    alive = launch.alive
    if not alive:
        return None
    when = "while joining or summarising" if is_joining(folder) else "before that"
    if len(alive) > 1 and rng.random() < 0.5:
        launch.kill([rng.choice(alive)])
        launch.end()  # the others do its batches
        return f"kills of one of several {when}"
    launch.kill(alive)
    return f"kills of all {when}"


def is_joining(folder: Path) -> bool:
    """Whether a process is past judging, as the files of the run folder tell."""
    return any((folder / name).exists() for name in _JOINING[:4]) or (
        (folder / "summary.csv").exists() and b'"finished"' not in (folder / "environment.json").read_bytes()
    )


def start(config: Path, folder: Path, count: int) -> list[subprocess.Popen]:
    """The processes of a start; the launcher's variables are set here, so that each may be killed alone."""
    words = [sys.executable, "-m", "reciprocam_bench", "run", "-c", str(config), "-o", str(folder), "--quiet"]
    started = []
    for number in range(count):
        about = {"RANK": str(number), "WORLD_SIZE": str(count), "LOCAL_RANK": str(number)} if count > 1 else {}
        started.append(subprocess.Popen(words, env=os.environ | about, stderr=subprocess.DEVNULL))
    return started


def differing(whole: Path, folder: Path) -> list[str]:
    """The tables that have not the same bytes."""
    return [name for name in TABLES if not same(whole / name, folder / name)]


def same(one: Path, other: Path) -> bool:
    """Whether both are there with the same bytes."""
    return one.is_file() and other.is_file() and one.read_bytes() == other.read_bytes()


def make_config(place: Path, images: int, seed: int) -> Path:
    """Pictures, one of them broken, and a config of two protocols with a network of random weights."""
    generator = np.random.default_rng(seed)
    (place / "pictures").mkdir(exist_ok=True)
    for i in range(images):
        pixels = generator.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((40, 40)).save(place / "pictures" / f"{i:03d}.png")
    (place / "pictures" / f"{images // 2:03d}.png").write_bytes(b"no picture")
    content = {
        "backbone": {"model": "timm/test_resnet", "weights": "none"},
        "dataset": {"name": "folder", "root": str(place / "pictures")},
        "protocol": ["poppi-2021", "recipro-2024"],
        "classes": "predicted",
        "methods": ["gradcam", "reciprocam"],
        "batch_size": 2,
        "device": "cpu",
        "threads": 1,
        "maps": 2,
    }
    (place / "chaos.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return place / "chaos.yaml"


if __name__ == "__main__":
    main()
