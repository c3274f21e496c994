"""Try the gate on this machine: does it pass what did not change beside a busy core, and fail what was slowed?

    python scripts/gate_trial.py --times 20                  an unchanged tree, 20 times, while one core is kept busy
    python scripts/gate_trial.py --slow scorecam             Score-CAM takes 1.25 times as long
    python scripts/gate_trial.py --slow reciprocam --factor 1.25

Each trial is a `rcam-bench time --config gate` and a `rcam-bench check` against a baseline, which is measured first on
this machine, without the busy process, unless --against names one. The exit code is 0 if all trials ended as they
should. `trials.csv` in --output has a row a trial, `trials.md` a line for all trials of a kind.
"""

import argparse
import io
import json
import os
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pandas as pd

from reciprocam_bench.reporting.tables import to_markdown

# Loaded by every process of a slowed trial when it starts: each call of one method ends later by a share of its time.
SLOWED = """\
import time
from reciprocam_bench.explainers.registry import Method
call = Method.__call__

def slowed(self, *args, **options):
    begin = time.perf_counter()
    made = call(self, *args, **options)
    if self.spec.name == {name!r}:
        end = begin + {factor} * (time.perf_counter() - begin)
        while time.perf_counter() < end:
            pass
    return made

Method.__call__ = slowed
"""


class BusyCore(AbstractContextManager):
    """A process that computes without a pause."""

    def __enter__(self) -> "BusyCore":
        self._process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()


def rcam_bench(*words: object, first: Path | None = None) -> subprocess.CompletedProcess:
    """Run the command line; ``first`` is a folder that Python looks for modules in before all others."""
    path = os.pathsep.join([str(first), *sys.path[1:]] if first else sys.path[1:])
    command = [sys.executable, "-m", "reciprocam_bench", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})


def timed(folder: Path, config: str, sets: list[str], first: Path | None = None) -> None:
    """Time the gate's config into a folder."""
    words = [word for one in sets for word in ("--set", one)]
    done = rcam_bench("time", "--config", config, "--output", folder, "--fresh", "--quiet", *words, first=first)
    if done.returncode:
        sys.exit(f"timing failed: {done.stderr}")


def trial(number: int, words: argparse.Namespace, baseline: Path, first: Path | None) -> dict[str, object]:
    """One timing and its check."""
    folder = words.work / f"trial{number:02}"
    timed(folder, words.config, words.sets, first)
    done = rcam_bench("check", folder, "--against", baseline, "--format", "csv")
    if done.returncode == 2:
        sys.exit(done.stderr)
    found = pd.read_csv(io.StringIO(done.stdout))
    machine = json.loads((folder / "environment.json").read_text())["machine"]
    row: dict[str, object] = {"trial": number, "slowed": words.slow or "", "factor": words.factor if words.slow else 1}
    row |= {"others": machine["others"], "exit": done.returncode}
    row |= {
        verdict: int((found["verdict"] == verdict).sum()) for verdict in ("worse", "cannot be told", "holds", "better")
    }
    row["failed"] = "; ".join(found.loc[found["verdict"] == "worse", "checked"])
    return row | {"largest loss %": 100 * (1 - found["change"].min())}


def for_reading(trials: pd.DataFrame) -> str:
    """A line a kind of trial: how many ended as they should, and how busy the machine was otherwise."""
    lines = []
    for (slowed, factor), mine in trials.fillna({"slowed": ""}).groupby(["slowed", "factor"], sort=False):
        right, losses, others = mine["exit"] == int(bool(slowed)), mine["largest loss %"], mine["others"]
        kind = f"{slowed} takes {factor:g} times as long" if slowed else "unchanged, beside a busy core"
        lines.append(
            {
                "trial": kind,
                "should": "fail" if slowed else "pass",
                "did": f"{right.sum()} of {len(mine)}",
                "busy with others (median, most)": f"{100 * others.median():.0f} %, {100 * others.max():.0f} %",
                "largest loss found": f"{losses.min():.1f} to {losses.max():.1f} %",
            }
        )
    return to_markdown(pd.DataFrame(lines))


def keep(output: Path, row: dict[str, object]) -> None:
    """Add a trial to those on disk, as soon as it is made: a call that is stopped loses none."""
    output.mkdir(parents=True, exist_ok=True)
    path = output / "trials.csv"
    table = pd.DataFrame([row])
    table.to_csv(path, mode="a", header=not path.exists(), index=False, float_format="%.3g", lineterminator="\n")
    (output / "trials.md").write_text(for_reading(pd.read_csv(path)), "utf-8")


def main() -> None:
    """Try, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--slow", help="the method to slow; nothing is kept busy then")
    parser.add_argument("--factor", type=float, default=1.25)
    parser.add_argument("--against", type=Path, help="a baseline of this machine")
    parser.add_argument("--config", default="gate")
    parser.add_argument("--set", action="append", default=[], help="as of rcam-bench time", dest="sets")
    parser.add_argument("--work", type=Path, default=Path("runs/gate_trial"), help="the run folders")
    parser.add_argument("--output", type=Path, help="where trials.csv goes; rows are added")
    words = parser.parse_args()
    words.work.mkdir(parents=True, exist_ok=True)
    baseline, first = words.against or words.work / "baseline.json", None
    if not words.against:
        timed(words.work / "baseline", words.config, words.sets)
        baseline.unlink(missing_ok=True)
        rcam_bench("check", words.work / "baseline", "--against", baseline, "--update").check_returncode()
    if words.slow:
        first = words.work / "slowed"
        first.mkdir(exist_ok=True)
        (first / "sitecustomize.py").write_text(SLOWED.format(name=words.slow, factor=words.factor))
    with nullcontext() if words.slow else BusyCore():
        rows = []
        for number in range(words.times):
            rows.append(trial(number, words, baseline, first))
            print(pd.DataFrame(rows[-1:]).to_string(index=False, header=number == 0), flush=True)
            if words.output:
                keep(words.output, rows[-1])
    expected = 1 if words.slow else 0
    wrong = [row["trial"] for row in rows if row["exit"] != expected]
    print(f"{len(rows) - len(wrong)} of {len(rows)} trials ended with {expected}, as they should")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
