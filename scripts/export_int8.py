"""What int8 changes: maps, metrics and pointing of quantised networks beside the float32 ones, into results/export/.

    python scripts/export_int8.py --calibrate FOLDER    # needs RCAM_WEIGHTS_DIR, IMAGENET_ROOT and IMAGENET_BOXES
    python scripts/export_int8.py --calibrate FOLDER --dataset samples    # the 20 packaged images instead
    python scripts/update_readme.py                     # puts the table into docs/export.md

Both files of a network are written by `rcam-bench export` and judged by `rcam-bench run`, on the map of the labelled
class, so that both explain the same one. Files and run folders lie in --work: what is there is not made again.
"""

import argparse
import json
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from reciprocam_bench.datasets.dataset import list_images
from reciprocam_bench.engine.environment import commit_at_start, device_name
from reciprocam_bench.exporting.asked import MOST_PICTURES
from reciprocam_bench.runfolder.raw_maps import kept_maps, views
from reciprocam_bench.runfolder.schema import PER_IMAGE, SUMMARY

OUTPUT = Path(__file__).resolve().parents[1] / "results/export"
MODELS = ("torchvision/resnet50", "torchvision/resnet18", "torchvision/mobilenet_v2")
PRECISIONS = ("float32", "int8")
DATASETS = {
    "imagenet": {"name": "imagenet", "root": "${IMAGENET_ROOT}", "boxes": "${IMAGENET_BOXES}"},
    "samples": {"name": "samples"},
}
METRICS = {
    "average_drop": "Drop ↓",
    "increase": "Increase ↑",
    "coherency": "Coherency ↑",
    "complexity": "Complexity ↓",
    "adcc": "ADCC ↑",
    "pointing_game_box": "Pointing ↑",
}


def run(model: str, precision: str, work: Path, calibrate: Path, settings: dict[str, object]) -> tuple[Path, Path]:
    """The file of a network and the run folder that judges it; what is there already is kept."""
    place = work / model / precision
    file, folder = place / "model.onnx", place / "run"
    place.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        words = ["export", "--model", model, "--classes", "input", "--output", str(file)]
        _command(*words, *(["--int8", str(calibrate)] if precision == "int8" else []))
    config = place / "config.yaml"
    config.write_text(json.dumps({"backbone": {"model": f"onnx:{file}"}} | settings), "utf-8")
    _command("run", "--config", str(config), "--output", str(folder), "--quiet")
    return file, folder


def _command(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "reciprocam_bench", *words], check=True, stdin=subprocess.DEVNULL)


def correlations(one: Path, other: Path) -> np.ndarray:
    """Pearson's correlation of the raw maps of two run folders, image by image; those that are constant left out."""
    maps = []
    for folder in (one, other):
        kept = [k for view in views(folder) for k in kept_maps(view, "exported")]
        maps.append({t: m.ravel() for k in kept for t, m in zip(k.trials, k.maps, strict=True)})
    with np.errstate(invalid="ignore"):
        found = [np.corrcoef(maps[0][trial], maps[1][trial])[0, 1] for trial in sorted(maps[0].keys() & maps[1].keys())]
    return np.array(found)[~np.isnan(found)]


def judged(model: str, runs: dict[str, tuple[Path, Path]]) -> list[dict[str, object]]:
    """A row for each file of a network: its size, accuracy and metrics in percent, and how alike its maps are."""
    rows = []
    labelled = {precision: pd.read_csv(folder / PER_IMAGE) for precision, (_, folder) in runs.items()}
    first = labelled[PRECISIONS[0]].set_index("image")["predicted"]
    for precision, (file, folder) in runs.items():
        mine = labelled[precision].set_index("image")
        (row,) = pd.read_csv(folder / SUMMARY).to_dict("records")
        alike = correlations(runs[PRECISIONS[0]][1], folder)
        rows.append(
            {
                "model": model,
                "precision": precision,
                "mebibytes": file.stat().st_size / 2**20,
                "images": len(mine),
                "top1": 100 * (mine["label"] == mine["predicted"]).mean(),
                "same_class": 100 * (mine["predicted"] == first.reindex(mine.index)).mean(),
                "correlation": alike.mean(),
                "correlation_5th": np.quantile(alike, 0.05),
                **{metric: row[metric] for metric in METRICS},
                **{f"adcc_{end}": row[f"adcc_{end}"] for end in ("low", "high")},
            }
        )
    return rows


def table(rows: pd.DataFrame) -> str:
    """The rows as the page shows them."""
    titles = [
        "network",
        "file",
        "MiB",
        "top-1",
        "same class",
        "correlation of maps (5th percentile)",
        *METRICS.values(),
    ]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for row in rows.to_dict("records"):
        cells = [f"`{row['model']}`", row["precision"], f"{row['mebibytes']:.1f}", f"{row['top1']:.1f}"]
        alike = f"{row['correlation']:.4f} ({row['correlation_5th']:.4f})"
        cells += ["", ""] if row["precision"] == PRECISIONS[0] else [f"{row['same_class']:.1f}", alike]
        for metric in METRICS:
            interval = f" ({row['adcc_low']:.1f} to {row['adcc_high']:.1f})" if metric == "adcc" else ""
            cells.append(f"{row[metric]:.1f}{interval}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def facts(given: argparse.Namespace, images: int) -> dict[str, Any]:
    """What the table was made with."""
    pictures = len(list_images(given.calibrate)[0])
    return {
        "dataset": given.dataset,
        "images": images,
        "calibrated_on": min(pictures, MOST_PICTURES),
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit_at_start(),
        "device": device_name(torch.device("cpu")),
        "packages": {name: version(name) for name in ("torch", "onnxruntime", "onnx")},
    }


def footer(about: dict[str, Any]) -> str:
    """These facts in a line."""
    packages = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    images = f"{about['images']} images of {about['dataset']}, calibrated on {about['calibrated_on']} others"
    return f"{images}; {about['device']}, {packages}, {about['date']}."


def main() -> None:
    """Export, judge, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calibrate", type=Path, required=True, help="a folder of pictures; not those judged")
    parser.add_argument("--dataset", choices=list(DATASETS), default="imagenet")
    parser.add_argument("--limit", type=int, default=200, help="images judged")
    parser.add_argument("--model", action="append", help="repeatable; " + ", ".join(MODELS) + " if left out")
    parser.add_argument("--work", type=Path, default=Path("runs/export_int8"), help="files and run folders")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    given = parser.parse_args()
    settings = {
        "dataset": DATASETS[given.dataset],
        "protocol": "poppi-2021",
        "classes": "label",
        "methods": ["exported"],
        "metrics": list(METRICS),
        "limit": given.limit,
        "device": "cpu",
        "save_maps": True,
        "maps": 0,
    }
    rows = []
    for model in given.model or MODELS:
        runs = {precision: run(model, precision, given.work, given.calibrate, settings) for precision in PRECISIONS}
        rows += judged(model, runs)
    given.output.mkdir(parents=True, exist_ok=True)
    found = pd.DataFrame(rows)
    found.to_csv(given.output / "int8.csv", index=False, float_format="%.5g", lineterminator="\n")
    about = facts(given, int(found["images"].max()))
    (given.output / "int8.json").write_text(json.dumps(about, indent=2) + "\n", "utf-8")
    text = f"{table(found)}\n\n{footer(about)}"
    (given.output / "int8.md").write_text(text + "\n", "utf-8")
    print(text)


if __name__ == "__main__":
    main()
