"""How often the interval of a speed-up holds what other runs find: the same timing, started again and again.

    python scripts/timing_coverage.py --runs 20 --output results/timing_coverage

Each run is a `rcam-bench time` of its own, in a new process. What a run should have found is not known; the geometric
mean of the other runs' ratios stands for it. Runs during which the machine was busy, as their own warning says, are
counted apart, against the same mean of the runs on an idle machine: a busy machine has other ratios. `runs.csv` has a
row per run, method and scope, `coverage.csv` the share of runs whose interval holds that mean.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from reciprocam_bench.runfolder.doubt import busy

CONFIG = """\
backbone: {model: torchvision/resnet18}
dataset: {name: samples}
methods: [gradcam, cam, gradcam++, layercam, reciprocam, {name: reciprocam, path: batched-head}]
metrics: [complexity]
limit: 4
timing: {repeats: 40, warmup: 2, relative_to: gradcam}
"""
RATIOS = ["speedup", "speedup_low", "speedup_high"]


def one_run(number: int, work: Path, sets: list[str]) -> pd.DataFrame:
    """The ratios of one run; one that is there already is read."""
    folder = work / f"run{number:02}"
    if not (folder / "timing.csv").is_file():
        (work / "timing.yaml").write_text(CONFIG)
        words = ["time", "--config", str(work / "timing.yaml"), "--output", str(folder), "--quiet"]
        words += [word for one in sets for word in ("--set", one)]
        subprocess.run([sys.executable, "-m", "reciprocam_bench", *words], check=True, stdin=subprocess.DEVNULL)
    machine = json.loads((folder / "environment.json").read_text())["machine"]
    table = pd.read_csv(folder / "timing.csv")
    table = table[table["speedup"].notna() & (table["method"] != table["relative_to"])]
    fixed = {"run": number, "machine": "busy" if busy(machine) else "idle"}
    fixed |= {name: machine[name] for name in ("others", "steal")}
    return table[["method", "scope", "batch_size", "blocks", *RATIOS]].assign(**fixed)


def coverage(runs: pd.DataFrame) -> pd.DataFrame:
    """By machine, method and scope: how far runs differ, how wide intervals are, and how often they hold the mean."""
    table = []
    for (method, scope), group in runs.groupby(["method", "scope"], sort=False):
        idle = np.log(group.loc[group["machine"] == "idle", "speedup"])
        for machine, part in group.groupby("machine", sort=False):
            logs, low, high = (np.log(part[name]) for name in RATIOS)
            others = (idle.sum() - logs) / (len(idle) - 1) if machine == "idle" else idle.mean()
            row = {"machine": machine, "method": method, "scope": scope, "runs": len(part)}
            row |= {"ratio": np.exp(logs.mean()), "spread %": 100 * logs.std(ddof=1)}
            row |= {"half width %": 100 * (np.exp((high - low).median() / 2) - 1)}
            table.append(row | {"holds %": 100 * ((low <= others) & (others <= high)).mean()})
    frame = pd.DataFrame(table).sort_values("machine", ascending=False, kind="stable")
    whole = frame.groupby("machine", sort=False).agg({"runs": "first", "holds %": "mean"}).reset_index()
    return pd.concat([frame, whole.assign(method="all", scope="all")])


def main() -> None:
    """Run, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/timing_coverage"), help="the run folders")
    parser.add_argument("--set", action="append", default=[], help="as of rcam-bench time", dest="sets")
    words = parser.parse_args()
    if words.runs < 3:
        parser.error("--runs: at least 3, since each run is compared with the others")
    words.work.mkdir(parents=True, exist_ok=True)
    runs = pd.concat([one_run(number, words.work, words.sets) for number in range(words.runs)])
    words.output.mkdir(parents=True, exist_ok=True)
    runs.to_csv(words.output / "runs.csv", index=False, float_format="%.6g", lineterminator="\n")
    table = coverage(runs)
    table.to_csv(words.output / "coverage.csv", index=False, float_format="%.3g", lineterminator="\n")
    facts = json.loads((words.work / "run00/environment.json").read_text())
    kept = ("rcam-bench", "commit", "python", "packages", "platform", "device", "cpu_cores", "threads", "date")
    about = {name: facts[name] for name in kept} | {"runs": words.runs, "set": words.sets, "config": CONFIG}
    (words.output / "environment.json").write_text(json.dumps(about, indent=2) + "\n")
    print(table.to_string(index=False, float_format="%.3g", na_rep=""))


if __name__ == "__main__":
    main()
