"""How long does a run take beside the forward passes that it asks for?

    python scripts/run_overhead.py --config resnet18_imagenet --output results/overhead

In one process and in turn: a run of few images, a run of many, and as many plain forward passes of the same folded
network at the run's batch size as the further images cost. What starting costs falls out of the difference.
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from unittest.mock import patch

import torch

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.cli.options import read
from reciprocam_bench.config import Config
from reciprocam_bench.engine.allocator import keep_freed_memory
from reciprocam_bench.engine.complete import complete
from reciprocam_bench.engine.environment import commit_at_start, device_name
from reciprocam_bench.engine.run import Screen
from reciprocam_bench.reporting.summary import write_tables
from reciprocam_bench.timing.machine import Reading, between

Encode = Callable[[Backbone, torch.Tensor], tuple[torch.Tensor, torch.Tensor | None]]
SILENT = Screen(quiet=True, say=lambda *_, **__: None)


class Counted:
    """Counts the images that go through `Backbone.features`, and keeps the backbone and the largest batch."""

    def __init__(self) -> None:
        self.images, self.largest = 0, torch.empty(0)
        self.backbone: Backbone | None = None

    def watch(self, encode: Encode) -> Encode:
        """`Backbone.encode`, counted."""

        def counted(backbone: Backbone, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
            self.images += len(images)
            self.backbone = backbone
            if len(images) > len(self.largest):
                self.largest = images
            return encode(backbone, images)

        return counted


def run_of(config: Config, limit: int) -> tuple[float, Counted]:
    """Seconds of a whole run of ``limit`` images, and the forward passes that it made."""
    counted = Counted()
    with tempfile.TemporaryDirectory() as folder, patch.object(Backbone, "encode", counted.watch(Backbone.encode)):
        begun = time.perf_counter()
        config = config.model_copy(update={"limit": limit})
        complete(config, Path(folder) / "run", fresh=False, screen=SILENT, summarise=write_tables)
        return time.perf_counter() - begun, counted


def forwards(counted: Counted, images: int) -> float:
    """Seconds of plain forward passes of so many images."""
    backbone, batch = counted.backbone, counted.largest
    assert backbone is not None
    batches = -(-images // len(batch))
    begun = time.perf_counter()
    with torch.no_grad():
        for _ in range(batches):
            backbone(batch)
    return (time.perf_counter() - begun) * images / (batches * len(batch))


def main(words: list[str] | None = None) -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--config", default="resnet18_imagenet")
    parser.add_argument("--set", action="append", default=["timing=null", "maps=0"], help="as of rcam-bench run")
    parser.add_argument("--few", type=int, default=16)
    parser.add_argument("--many", type=int, default=216)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args(words)
    keep_freed_memory()
    config = read(given.config, None, None, given.set)
    before, rounds = Reading.now(), []
    run_of(config, given.few)  # what is done once in a process
    for _ in range(given.repeats):
        few, less = run_of(config, given.few)
        many, more = run_of(config, given.many)
        plain = forwards(more, more.images - less.images)
        rounds.append({"few_s": few, "many_s": many, "passes": more.images - less.images, "passes_s": plain})
        rounds[-1]["ratio"] = (many - few) / plain
        print(rounds[-1], flush=True)
    found = {"config": given.config, "set": given.set, "images": given.many - given.few, "rounds": rounds}
    found |= {"ratio": median(r["ratio"] for r in rounds)}
    found |= {
        "machine": between(before, Reading.now(), torch.device("cpu")),
        "device": device_name(torch.device("cpu")),
    }
    found |= {"commit": commit_at_start(), "torch": torch.__version__, "python": platform.python_version()}
    found |= {"date": datetime.now(UTC).isoformat(timespec="seconds")}
    if given.output:
        given.output.mkdir(parents=True, exist_ok=True)
        (given.output / "overhead.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"{found['ratio']:.3f} of the forward passes")


if __name__ == "__main__":
    main()
