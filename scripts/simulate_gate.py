"""Simulate timings whose ratio is known: how often does the gate fail what did not change, and find what did?

Writes a table, a page and the environment into results/gate. A measured call's logarithm is that of its true time plus
the noise of the run (what one start differs from the next), of the block and of the round; a share of the rounds is hit
by something else on the machine and takes up to twice as long. Baseline and run are simulated alike, each with its own
noise.

Usage: python scripts/simulate_gate.py [--simulations N] [--seed N] [--output DIR]
"""

import argparse
import json
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from reciprocam_bench.gate.baseline import Ratio
from reciprocam_bench.gate.decide import BETTER, HOLDS, UNTOLD, WORSE, Estimate, change_of_ratio
from reciprocam_bench.reporting.tables import to_markdown
from reciprocam_bench.speedup import speedup

OUTPUT = Path(__file__).resolve().parents[1] / "results" / "gate"
PAGE = """# What `rcam-bench check` decides where the truth is known

Made by `scripts/simulate_gate.py`: {simulations} simulated pairs of a baseline and a run in each row, seed {seed},
{rounds} rounds in {blocks} blocks, tolerance {tolerance:.0%}, floor {floor:.0%}. Noise is the standard deviation of a
run, of a block and of a round, in percent of the time, and the share of rounds that something else hits.

"""
ROUNDS, BLOCKS = 30, 10
TOLERANCE, FLOOR = Ratio.model_fields["tolerance"].default, Ratio.model_fields["floor"].default
# A speed-up is this much of what it was.
CHANGES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75)


class Noise(NamedTuple):
    """Standard deviations of logarithms, and the share of rounds that are hit by something else."""

    name: str
    run: float
    block: float
    round: float
    hit: float


NOISES = (
    Noise("quiet", 0.005, 0.01, 0.02, 0.01),
    Noise("usual", 0.01, 0.02, 0.05, 0.05),
    Noise("busy", 0.02, 0.03, 0.10, 0.15),
    Noise("very busy", 0.03, 0.10, 0.20, 0.30),
)


def measured(ratio: float, noise: Noise, rng: np.random.Generator) -> Estimate:
    """What a timing finds of a true ratio."""
    block = np.arange(ROUNDS) * BLOCKS // ROUNDS
    times = []
    for true in (ratio, 1.0):
        logs = rng.normal(0, noise.run) + rng.normal(0, noise.block, BLOCKS)[block] + rng.normal(0, noise.round, ROUNDS)
        hit = np.where(rng.random(ROUNDS) < noise.hit, rng.uniform(1, 2, ROUNDS), 1.0)
        times.append(true * np.exp(logs) * hit)
    return Estimate(*speedup(times[0], times[1], block))


def verdicts(change: float, noise: Noise, simulations: int, seed: int) -> dict[str, float]:
    """The share of each verdict in percent, where a ratio of 100 became ``change`` times as large."""
    rng = np.random.default_rng(seed)
    found = [
        change_of_ratio(measured(100, noise, rng), measured(100 * change, noise, rng), TOLERANCE, FLOOR).verdict
        for _ in range(simulations)
    ]
    return {verdict: 100 * found.count(verdict) / simulations for verdict in (WORSE, UNTOLD, HOLDS, BETTER)}


def table(simulations: int, seed: int) -> pd.DataFrame:
    """A row a noise and a change."""
    rows = []
    for noise in NOISES:
        described = {"machine": noise.name, "noise %": "/".join(f"{100 * s:g}" for s in noise[1:4])}
        described["hit %"] = f"{100 * noise.hit:g}"
        for change in CHANGES:
            loss = {"loss %": f"{100 * (1 - change):.0f}"}
            rows.append(described | loss | verdicts(change, noise, simulations, seed))
    return pd.DataFrame(rows)


def main() -> None:
    """Simulate, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    words = parser.parse_args()
    words.output.mkdir(parents=True, exist_ok=True)
    found = table(words.simulations, words.seed)
    found.to_csv(words.output / "simulated.csv", index=False, float_format="%.4g", lineterminator="\n")
    readable = found.copy()
    for name in (WORSE, UNTOLD, HOLDS, BETTER):
        readable[name] = found[name].map("{:.2f}".format)
    facts = {"simulations": words.simulations, "seed": words.seed, "rounds": ROUNDS, "blocks": BLOCKS}
    facts |= {"tolerance": TOLERANCE, "floor": FLOOR}
    (words.output / "simulated.md").write_text(PAGE.format(**facts) + to_markdown(readable))
    about = {"script": Path(__file__).name, **facts, "date": datetime.now(UTC).isoformat(timespec="seconds")}
    about |= {"python": platform.python_version(), "packages": {n: version(n) for n in ("numpy", "pandas", "scipy")}}
    (words.output / "simulated.json").write_text(json.dumps(about, indent=2) + "\n")
    print(to_markdown(readable), end="")


if __name__ == "__main__":
    main()
