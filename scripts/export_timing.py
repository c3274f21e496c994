"""Time logits with the map of Recipro-CAM against logits alone, in ONNX Runtime and in PyTorch, into results/export/.

    python scripts/export_timing.py    # RCAM_WEIGHTS_DIR: real weights where it has them, random ones elsewhere
    python scripts/update_readme.py    # puts the table into docs/export.md

Logits alone are a file of their own, cut from the exported one, so that nothing of the map is left in it. In each round
every call runs once, in random order: which weights the call before has left in the processor's cache is chance. Rounds
are grouped in blocks with sessions and copies of their own; ratios and intervals are those of `rcam-bench time`
(docs/timing.md). Networks that are in the file already are not measured again. The machine must be idle.
"""

import argparse
import copy
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx
import pandas as pd
import torch
from torch import Tensor, nn

import reciprocam_bench as rb
from reciprocam_bench.backbones.file_metadata import IMAGES, LOGITS, MAPS
from reciprocam_bench.backbones.onnx_session import OnnxSession, open_session
from reciprocam_bench.backbones.weights import local_file
from reciprocam_bench.engine.environment import commit_at_start, device_name
from reciprocam_bench.runfolder.doubt import busy
from reciprocam_bench.speedup import speedup
from reciprocam_bench.timing.clock import measured
from reciprocam_bench.timing.machine import Reading, between

OUTPUT = Path(__file__).resolve().parents[1] / "results/export"
MODELS = ("torchvision/resnet50", "torchvision/mobilenet_v2")
BATCHES = (1, 8)
CPU = torch.device("cpu")
# The threads of one library go on spinning for a moment after a call; the next call must not pay for it.
PAUSE = 0.01

# What is timed: (runtime, what it returns).
Timed = tuple[str, str]
ALONE, WITH_MAP = "logits", "logits and map"
FILES = {"ONNX Runtime": "float32.onnx", "ONNX Runtime int8": "int8.onnx"}


def write(folder: Path, backbone: rb.Backbone) -> tuple[int, ...]:
    """The files of a network, with the map and without; the shape of an image."""
    for output in (ALONE, WITH_MAP):
        (folder / output).mkdir()
    side = backbone.preprocessing.crop
    shape = len(backbone.preprocessing.mean), side, side
    # What int8 is calibrated on does not change its speed.
    for file, calibration in zip(FILES.values(), (None, torch.randn(8, *shape)), strict=True):
        whole = rb.export(backbone, folder / WITH_MAP / file, calibration=calibration).path
        onnx.utils.extract_model(whole, folder / ALONE / file, [IMAGES], [LOGITS])
    return shape


def calls_of(folder: Path, model: rb.ExplainedModel, backbone: rb.Backbone) -> dict[Timed, Callable[[Tensor], object]]:
    """Each of what is timed, with sessions and weights of its own, for torch's number of threads."""
    explained, alone = copy.deepcopy(model), copy.deepcopy(nn.Sequential(backbone.features, backbone.head))
    calls: dict[Timed, Callable[[Tensor], object]] = {("PyTorch", ALONE): alone, ("PyTorch", WITH_MAP): explained}
    for runtime, file in FILES.items():
        for output, wanted in {ALONE: [LOGITS], WITH_MAP: [LOGITS, MAPS]}.items():
            session = open_session(folder / output / file, file)
            calls[runtime, output] = partial(_run, session, wanted)
    return calls


def _run(session: OnnxSession, wanted: list[str], images: Tensor) -> object:
    return session.run_for({IMAGES: images}, wanted)


def rounds(calls: dict[Timed, Callable[[Tensor], object]], images: Tensor, count: int, seed: int) -> Iterator[dict]:
    """Run each call ``count`` times in rounds; the first round warms up. A row a call, in milliseconds."""
    order = random.Random(seed)
    for number in range(-1, count):
        for timed in order.sample(list(calls), len(calls)):
            time.sleep(PAUSE)
            wall = measured(lambda timed=timed: calls[timed](images), CPU).wall
            if number >= 0:
                yield {"runtime": timed[0], "output": timed[1], "round": number, "wall_ms": wall}


def measure(model: str, blocks: int, count: int) -> pd.DataFrame:
    """Every measured call of a network: a row each."""
    torch.manual_seed(0)
    rows = []
    backbone = rb.load_backbone(model, weights=_weights(model))
    explained = rb.ExplainedModel(backbone).eval()
    with tempfile.TemporaryDirectory() as name, torch.no_grad():
        folder = Path(name)
        shape = write(folder, backbone)
        for threads in sorted({1, os.cpu_count() or 1}):
            torch.set_num_threads(threads)
            for block in range(blocks):
                calls = calls_of(folder, explained, backbone)
                for batch in BATCHES:
                    images = torch.randn(batch, *shape)
                    at = {"threads": threads, "batch_size": batch, "block": block}
                    rows += [at | row for row in rounds(calls, images, count, block)]
    return pd.DataFrame(rows)


def summary(model: str, calls: pd.DataFrame) -> pd.DataFrame:
    """A row per threads, batch and runtime: medians in milliseconds, and with the map over without, with interval."""
    rows = []
    for (threads, batch, runtime), group in calls.groupby(["threads", "batch_size", "runtime"], sort=False):
        wide = group.pivot_table(index=["block", "round"], columns="output", values="wall_ms").reset_index()
        ratio, low, high = speedup(wide[WITH_MAP].to_numpy(), wide[ALONE].to_numpy(), wide["block"].to_numpy())
        row = {"model": model, "weights": "random" if _weights(model) == "none" else "real"}
        row |= {"threads": threads, "batch_size": batch, "runtime": runtime}
        row |= {"blocks": wide["block"].nunique(), "rounds": len(wide)}
        row |= {"logits_ms": wide[ALONE].median(), "with_map_ms": wide[WITH_MAP].median()}
        rows.append(row | {"ratio": ratio, "ratio_low": low, "ratio_high": high})
    return pd.DataFrame(rows)


def table(rows: pd.DataFrame, about: dict[str, Any]) -> str:
    """The rows as the page shows them, and where they were measured."""
    lines = [
        "| network | threads | images | runtime | logits alone, ms | with the map, ms | ratio (95 % interval) |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows.to_dict("records"):
        ratio = f"{row['ratio']:.3f} ({row['ratio_low']:.3f} to {row['ratio_high']:.3f})"
        cells = [f"`{row['model']}`", row["threads"], row["batch_size"], row["runtime"]]
        cells += [f"{row['logits_ms']:.1f}", f"{row['with_map_ms']:.1f}", ratio]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    for model, at in about.items():
        doubt = busy(at["machine"])
        packages = ", ".join(f"{name} {number}" for name, number in at["packages"].items())
        note = f"`{model}`: {at['device']}, {at['cores']} cores, {packages}, {at['date']}{doubt and f'; {doubt}'}."
        lines += ["", note]
    return "\n".join(lines)


def _weights(model: str) -> str:
    return "none" if local_file(*model.split("/", 1)) is None else "default"


def main() -> None:
    """Measure what is not in the file yet, one network after another, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", action="append", help="repeatable; " + " and ".join(MODELS) + " if left out")
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=6, help="in each block")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    given = parser.parse_args()
    if given.blocks < 2 or given.rounds < 1:
        parser.error("--blocks: at least 2, of which the interval is made, and --rounds at least 1")
    given.output.mkdir(parents=True, exist_ok=True)
    file, facts = given.output / "timing.csv", given.output / "timing.json"
    rows = pd.read_csv(file) if file.exists() else pd.DataFrame({"model": []})
    about = json.loads(facts.read_text("utf-8")) if facts.exists() else {}
    commit_at_start()
    for model in given.model or MODELS:
        if model in set(rows["model"]):
            continue
        before = Reading.now()
        found = summary(model, measure(model, given.blocks, given.rounds))
        print(found.to_string(), flush=True)
        about[model] = {
            "date": datetime.now(UTC).date().isoformat(),
            "commit": commit_at_start(),
            "device": device_name(CPU),
            "cores": os.cpu_count(),
            "packages": {name: version(name) for name in ("torch", "onnxruntime", "onnx")},
            "machine": between(before, Reading.now(), CPU),
        }
        facts.write_text(json.dumps(about, indent=2) + "\n", "utf-8")
        rows = pd.concat([rows, found]) if len(rows) else found
        rows.to_csv(file, index=False, float_format="%.5g", lineterminator="\n")
        file.with_suffix(".md").write_text(table(pd.read_csv(file), about) + "\n", "utf-8")


if __name__ == "__main__":
    main()
