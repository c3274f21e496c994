"""How long a large benchmark takes, from measured rates, and how evenly batches are handed out to unlike processes.

Writes ``simulation.csv`` and ``environment.json`` into results/scaling and the page docs/scaling.md.

Usage: python scripts/scaling.py [--repeats N] [--seed N] [--only-page]
"""

import argparse
import heapq
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from reciprocam_bench.reporting.tables import to_markdown
from reciprocam_bench.runfolder.record import read_record

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE = ROOT / "results" / "scaling", ROOT / "docs" / "scaling.md"
RUNS = ("resnet18_imagenet_subset", "resnet50_voc07_subset", "quickstart")
IMAGES, BACKBONES, METHODS = 50_000, 6, 5
MACHINES = (("2 cores", "cpu", 1), ("1 GPU", "cuda", 1), ("8 GPUs", "cuda", 8), ("8 nodes of 8 GPUs", "cuda", 64))
PHASES = ("read images", "forward", "explain", "metrics", "pictures")


class Scenario(NamedTuple):
    """Speeds of the processes, how many of the last ones die on the way, the batches, and how unlike these are."""

    name: str
    speeds: Sequence[float]
    dying: int
    batches: int
    spread: float = 0.3  # standard deviation of the logarithm of a batch's cost


SCENARIOS = (
    Scenario("8 alike", (1,) * 8, 0, 6250),
    Scenario("one of 8 twice as slow", (*(1,) * 7, 0.5), 0, 6250),
    Scenario("one of 8 ten times as slow", (*(1,) * 7, 0.1), 0, 6250),
    Scenario("8, each slower than the one before, to a fifth", tuple(np.linspace(1, 0.2, 8)), 0, 6250),
    Scenario("2 of 8 die", (1,) * 8, 2, 6250),
    Scenario("8, each slower than the one before, 4 die", tuple(np.linspace(1, 0.2, 8)), 4, 6250),
    Scenario("64 alike", (1,) * 64, 0, 6250),
    Scenario("64, half at half speed, 8 die", (*(1,) * 32, *(0.5,) * 32), 8, 6250),
    Scenario("4, one at a quarter of the speed, 500 images", (1, 1, 1, 0.25), 0, 63),
)


class Ended(NamedTuple):
    """When all was done, and what the processes could have done until then or until they died."""

    seconds: float
    capacity: float


def hand_out(costs: Sequence[float], speeds: Sequence[float], deaths: Sequence[float]) -> Ended:
    """Each process takes the next batch that nobody has; that of one that dies is taken by the next one free.

    ``costs`` are seconds at speed 1, ``deaths`` the second at which each process dies. Some process must live.
    """
    free = [(0.0, rank) for rank in range(len(speeds))]
    heapq.heapify(free)
    todo, lost, end = list(reversed(costs)), list[tuple[float, float]](), 0.0
    while todo or lost:
        if not free:
            raise ValueError("all processes died before the end")
        now, rank = heapq.heappop(free)
        given_back = min(lost) if not todo else None
        if given_back:  # those that find nothing else look after it, and wait until it is there
            lost.remove(given_back)
            now, cost = max(now, given_back[0]), given_back[1]
        else:
            cost = todo.pop()
        until = now + cost / speeds[rank]
        if until > deaths[rank]:
            if now < deaths[rank]:
                lost.append((deaths[rank], cost))
            elif given_back:
                lost.append(given_back)
            else:
                todo.append(cost)
            continue
        end = max(end, until)
        heapq.heappush(free, (until, rank))
    return Ended(end, sum(speed * min(end, death) for speed, death in zip(speeds, deaths, strict=True)))


def stride(costs: Sequence[float], speeds: Sequence[float]) -> Ended:
    """Each process does every n-th batch, whoever is ready first."""
    ends = [sum(costs[rank :: len(speeds)]) / speed for rank, speed in enumerate(speeds)]
    return Ended(max(ends), max(ends) * sum(speeds))


def simulate(scenario: Scenario, repeats: int, seed: int) -> dict[str, Any]:
    """Efficiency of a scenario in percent, over so many draws: the work needed of what could have been done."""
    rng, found, strided = np.random.default_rng(seed), [], []
    for _ in range(repeats):
        costs = rng.lognormal(0, scenario.spread, scenario.batches).tolist()
        about = sum(costs) / sum(scenario.speeds)
        deaths = [np.inf] * len(scenario.speeds)
        for rank in range(scenario.dying):
            deaths[-1 - rank] = rng.uniform(0, about)
        ended = hand_out(costs, scenario.speeds, deaths)
        found.append(100 * sum(costs) / ended.capacity)
        even = stride(costs, scenario.speeds)
        strided.append(100 * sum(costs) / even.capacity)
    return {
        "processes": scenario.name,
        "batches": scenario.batches,
        "efficiency": np.mean(found),
        "lowest": min(found),
        "every n-th": np.nan if scenario.dying else np.mean(strided),
    }


def rates(results: Path) -> pd.DataFrame:
    """What measured runs spend on an image and method, in milliseconds, by phase."""
    rows = []
    for name in RUNS:
        record = read_record(results / name)
        environment, config = record.environment, record.config
        pairs = (environment.images or 0) * len(config.methods) * len(config.named_protocols)
        spent = {phase: 1000 * environment.seconds.get(phase, 0.0) / pairs for phase in PHASES}
        device = str(environment.fingerprint.get("device", ""))
        row = {"run": name, "backbone": config.backbone.model, "device": device}
        rows.append({**row, "methods": len(config.methods), **spent, "all": sum(spent.values())})
    return pd.DataFrame(rows)


def estimates(measured: pd.DataFrame, efficiency: float) -> pd.DataFrame:
    """Hours for all images, backbones and methods, where every backbone and method costs what those of a run do."""
    rows = []
    for _, run in measured.iterrows():
        row: dict[str, Any] = {"as in": run["run"]}
        for title, device, count in MACHINES:
            hours = IMAGES * BACKBONES * METHODS * run["all"] / 3.6e6 / count / (efficiency if count > 1 else 1)
            row[title] = f"{hours:,.0f} h" if run["device"].startswith(device) else "not measured"
        rows.append(row)
    return pd.DataFrame(rows)


def page(results: Path) -> str:
    """The page, from committed results alone."""
    simulation = pd.read_csv(results / "scaling" / "simulation.csv")
    about = json.loads((results / "scaling" / "environment.json").read_text("utf-8"))
    measured = rates(results)
    large = simulation[simulation["batches"] > 1000]
    shown = measured.drop(columns="device").rename(columns={"all": "all, ms"})
    reading, spread = 100 * (measured["read images"] / measured["all"]).max(), 100 * SCENARIOS[0].spread
    largest = measured[list(PHASES)].idxmax(axis=1)
    first = ", ".join(f"{phase} in {', '.join(measured['run'][largest == phase])}" for phase in dict.fromkeys(largest))
    return f"""# How it scales

<!-- Made by scripts/scaling.py: do not edit. -->

## What a large benchmark takes

{IMAGES:,} images, {BACKBONES} backbones, {METHODS} methods, if every backbone and method cost what those of a
committed run do on average:

{to_markdown(estimates(measured, large["efficiency"].min() / 100))}
Cost is these hours times the price of the machine. Machines that no committed run was made on are *not measured*;
several devices count with the lowest efficiency of the large simulations below.

## What saturates first

Milliseconds for an image and method, on {measured["device"].iloc[0].partition(": ")[2]}, by what they are spent on:

{to_markdown(shown.round(1))}
The largest part: {first}. Reading
images is {reading:.1f} % at most: `workers` matter where a device is that much faster.
Of the run folder's file system each process asks a few short writes and locks of one byte for each batch.

## How evenly batches are handed out

Simulated ({about["repeats"]} times each, seed {about["seed"]}): each process takes the next batch that nobody has;
costs of batches vary by {spread:.0f} %; a process that dies does so at a random moment, and others do its batch when
all are taken. Efficiency is the work needed in percent of what the processes could have done until the end, or until
they died; the last column is a fixed share for each, as `--shard` gives.

{to_markdown(simulation.round(1).astype(object).where(simulation.notna(), ""))}
{processes(results / "scaling")}"""


def processes(folder: Path) -> str:
    """What ``scripts/measure_processes.py`` found on a real machine, where it was run."""
    path = folder / "processes.json"
    if not path.is_file():
        return "Real processes of one thread each: not measured yet (`python scripts/measure_processes.py`).\n"
    about = json.loads(path.read_text("utf-8"))
    found = about["images_per_s"]
    parts = [f"{n}: {rate:.3g} images/s ({rate / found['1']:.2f} times one)" for n, rate in found.items()]
    return f"Real processes of one thread each, `{about['config']}`: {'; '.join(parts)}.\n"


def main() -> None:
    """Simulate, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only-page", action="store_true", help="from the results that are there")
    given = parser.parse_args()
    if not given.only_page:
        RESULTS.mkdir(parents=True, exist_ok=True)
        table = pd.DataFrame([simulate(scenario, given.repeats, given.seed) for scenario in SCENARIOS])
        table.to_csv(RESULTS / "simulation.csv", index=False, float_format="%.4g")
        about = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "repeats": given.repeats, "seed": given.seed}
        (RESULTS / "environment.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    PAGE.write_text(page(ROOT / "results"), encoding="utf-8")


if __name__ == "__main__":
    main()
