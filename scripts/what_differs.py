"""How far maps and metrics move with the size of batches, the number of threads and the device: same seed, same images.

    python scripts/what_differs.py --images "$IMAGENET_ROOT"

Writes differences.csv, environment.json and table.md into results/differences; docs/runs.md shows the table. Everything
is compared with batches of 8 on one thread of the CPU. Maps are compared after min-max, so a difference is a share of a
map's range; metrics are fractions. What is not here (a GPU, where there is none) was not measured.
"""

import argparse
import json
import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from peer_comparison.subject import load_subject
from torch import Tensor

import reciprocam_bench as rb
from reciprocam_bench.engine.environment import commit_at_start, device_name
from reciprocam_bench.reporting.tables import to_markdown

OUTPUT = Path(__file__).resolve().parents[1] / "results" / "differences"
METHODS = ("cam", "gradcam", "gradcam++", "layercam", "ablationcam", "eigencam", "reciprocam")
REFERENCE = ("cpu", 8, 1)


def settings(count: int) -> Iterator[tuple[str, int, int]]:
    """Devices, batch sizes and threads that are compared with `REFERENCE`."""
    cores = os.cpu_count() or 1
    yield from (("cpu", size, 1) for size in (1, 3, count) if size != REFERENCE[1])
    if cores > 1:
        yield ("cpu", REFERENCE[1], cores)
    if torch.cuda.is_available():
        yield ("cuda", REFERENCE[1], cores)


def explained(model: str, weights: str, images: Tensor, place: tuple[str, int, int]) -> dict[str, dict[str, Tensor]]:
    """Maps after min-max, ``(N, h, w)``, and metrics, ``(N,)``, of every method, on the CPU."""
    device, size, threads = place
    torch.set_num_threads(threads)
    torch.manual_seed(0)  # of random weights
    backbone = rb.load_backbone(model, weights, device=device)
    found = {}
    for method in METHODS:
        parts = []
        for batch in images.to(device).split(size):
            maps = rb.explain(backbone, batch, method=method)
            parts.append({"map": rb.min_max(maps), **rb.evaluate(backbone, batch, maps, method=method)})
        found[method] = {key: torch.cat([part[key].cpu() for part in parts]) for key in parts[0]}
    return found


def largest(
    found: dict[str, dict[str, Tensor]], reference: dict[str, dict[str, Tensor]]
) -> Iterator[dict[str, object]]:
    """For each method the largest difference of a map, and of a metric."""
    for method, values in found.items():
        apart = {key: float((value - reference[method][key]).abs().max()) for key, value in values.items()}
        yield {"method": method, "map": apart.pop("map"), "metric": max(apart.values())}


def table(differences: pd.DataFrame, about: dict[str, Any]) -> str:
    """The largest over methods, a row a setting, in Markdown, and what it was measured with."""
    worst = differences.groupby(["model", "device", "batch_size", "threads"], sort=False)[["map", "metric"]].max()
    shown = worst.reset_index().rename(columns={"map": "largest of a map", "metric": "largest of a metric"})
    for name in ("largest of a map", "largest of a metric"):
        shown[name] = shown[name].map("{:.1e}".format)
    counts = f"{about['images']} images and {len(about['methods'])} methods"
    place = f"{', '.join(about['devices'])}, torch {about['torch']}"
    return f"{to_markdown(shown.astype(str))}\nLargest over {counts}; {place}.\n"


def main(words: list[str] | None = None) -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", nargs="+", default=["torchvision/resnet18", "torchvision/mobilenet_v2"])
    parser.add_argument("--weights", default="default", help="as backbone.weights of a config; default is a local file")
    parser.add_argument("--images", type=Path, required=True, help="a folder of pictures, searched through")
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    given = parser.parse_args(words)
    rows, weights = [], {}
    for model in given.model:
        subject = load_subject(model, given.weights, given.images, given.count, 0)
        weights[model] = subject.backbone.weights
        reference = explained(model, given.weights, subject.images, REFERENCE)
        for place in settings(given.count):
            fixed = dict(zip(("device", "batch_size", "threads"), place, strict=True))
            found = explained(model, given.weights, subject.images, place)
            rows += [{"model": model, **fixed, **row} for row in largest(found, reference)]
    given.output.mkdir(parents=True, exist_ok=True)
    differences = pd.DataFrame(rows)
    differences.to_csv(given.output / "differences.csv", index=False, float_format="%.3g")
    about = {"reference": REFERENCE, "images": given.count, "methods": METHODS, "weights": weights}
    about |= {"devices": [device_name(torch.device(d)) for d in dict.fromkeys(differences["device"])]}
    about |= {"commit": commit_at_start(), "torch": torch.__version__, "python": platform.python_version()}
    about |= {"date": datetime.now(UTC).isoformat(timespec="seconds")}
    (given.output / "environment.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    (given.output / "table.md").write_text(table(differences, about), encoding="utf-8")


if __name__ == "__main__":
    main()
