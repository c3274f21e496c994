"""Simulate pairs of methods whose difference is known: do intervals cover it, are p-values uniform where there is none?

Writes a table, a page and the environment into results/compare. Methods share an image effect, as real ones do: half
the variance is the image's. "0/1" metrics are discrete, so their p-values may lie above uniform ones, never below.

Usage: python scripts/simulate_compare.py [--simulations N] [--images N]... [--seed N] [--output DIR]
"""

import argparse
import json
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri
from scipy.stats import kstest

from reciprocam_bench.aggregation import AGGREGATIONS
from reciprocam_bench.reporting.estimate import Sample
from reciprocam_bench.reporting.paired import Difference, differences
from reciprocam_bench.reporting.tables import to_markdown

OUTPUT = Path(__file__).resolve().parents[1] / "results" / "compare"
PAGE = """# What `rcam-bench compare` finds where the truth is known

Made by `scripts/simulate_compare.py`: {simulations} simulated pairs a row, seed {seed}. Differences are in percentage
points, shares in percent; a coverage of 95 has a standard error of {error:.1f}. KS is the p-value of a
Kolmogorov-Smirnov test that p-values are uniform where there is no difference; for metrics of 0 and 1, whose p-values
are coarse, that they are not smaller.

"""
_AT_ONCE = 250
# Five thresholds: the share of right boxes of each method.
_CURVES = ([0.30, 0.50, 0.60, 0.40, 0.20], [0.20, 0.35, 0.50, 0.30, 0.10])
_CLASSES = 10

Quantile = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Scenario:
    """A kind of metric: for each of two methods how the quantiles of a trial's columns, (T, columns), become values.

    ``truth`` is the data set value of each method, as a fraction.
    """

    name: str
    aggregation: str
    columns: int
    methods: tuple[Quantile, Quantile]
    truth: tuple[float, float]
    discrete: bool = False

    def without_difference(self) -> "Scenario":
        """The first method twice."""
        return Scenario(
            self.name, self.aggregation, self.columns, self.methods[:1] * 2, self.truth[:1] * 2, self.discrete
        )


def scenarios() -> Iterator[Scenario]:
    """The aggregations of the package, on values like those of the metrics that use them."""
    yield Scenario("mean, normal", "mean", 1, (lambda u: ndtri(u), lambda u: ndtri(u) - 0.2), (0.0, -0.2))
    yield Scenario("mean, half of it zeros (Drop)", "mean", 1, (_half_zeros(0.25), _half_zeros(0.2)), (0.125, 0.1))
    yield Scenario("mean of 0/1 (Increase)", "mean", 1, (_below([0.3]), _below([0.2])), (0.3, 0.2), True)
    for name, complexity, drop in (("", 0.2, 0.2), (", equal from other terms", 0.2, 0.3)):
        terms = ((0.9, 0.7, 0.8), (0.9, 1 - complexity, 1 - drop))
        truth = tuple(3 / sum(1 / t for t in of) for of in terms)
        yield Scenario(f"harmonic mean (ADCC){name}", "harmonic-mean", 3, tuple(map(_powers, terms)), truth)
    best = (max(_CURVES[0]), max(_CURVES[1]))
    yield Scenario("best threshold (MaxBoxAcc)", "best-threshold", 5, tuple(map(_below, _CURVES)), best, True)
    yield Scenario("mean of classes (Pointing)", "mean-of-classes", 1, (_below([0.7]), _below([0.6])), (0.7, 0.6), True)


def _powers(means: Sequence[float]) -> Quantile:
    """Values in 0 to 1 with these means: ``u ** k`` has the mean ``1 / (1 + k)``."""
    return lambda u: u ** (1 / np.array(means) - 1)


def _half_zeros(mean: float) -> Quantile:
    return lambda u: np.where(u < 0.5, 0.0, _powers([mean])(np.clip(2 * u - 1, 0, 1)))


def _below(shares: Sequence[float]) -> Quantile:
    return lambda u: (u < np.array(shares)).astype(float)


def draw(scenario: Scenario, images: int, rng: np.random.Generator) -> tuple[Sample, Sample]:
    """One simulated run of two methods; with classes an image has up to three trials, of unequally frequent classes."""
    trials = rng.integers(1, 4, images) if scenario.aggregation == "mean-of-classes" else np.ones(images, dtype=int)
    image = np.repeat(np.arange(images), trials)
    category = np.zeros(len(image), dtype=int)
    if scenario.aggregation == "mean-of-classes":
        frequency = np.linspace(1, 3, _CLASSES)
        category = pd.factorize(rng.choice(_CLASSES, len(image), p=frequency / frequency.sum()), sort=True)[0]
    shared = rng.normal(size=(images, scenario.columns))[image]
    samples = []
    for quantile in scenario.methods:
        own = rng.normal(size=(len(image), scenario.columns))
        values = quantile(ndtr((shared + own) / 2**0.5))
        samples.append(Sample(np.arange(images), image, category, values, AGGREGATIONS[scenario.aggregation]))
    return samples[0], samples[1]


def simulate(scenario: Scenario, images: int, simulations: int, rng: np.random.Generator) -> list[Difference]:
    """What ``rcam-bench compare`` finds in each simulated run."""
    found: list[Difference] = []
    while len(found) < simulations:
        pairs = [draw(scenario, images, rng) for _ in range(min(_AT_ONCE, simulations - len(found)))]
        found += differences(pairs, int(rng.integers(2**31)), tests=1)
    return found


def judge(scenario: Scenario, images: int, simulations: int, seed: int) -> dict[str, object]:
    """One row of the table; shares are in percent."""
    rng = np.random.default_rng([seed, images, *scenario.name.encode()])
    none = scenario.without_difference()
    null, real = simulate(none, images, simulations, rng), simulate(scenario, images, simulations, rng)
    p_values = [d.p for d in null]
    return {
        "metric": scenario.name,
        "images": images,
        "true difference": f"{100 * _gap(scenario):+.2f}",
        "covered": f"{_covered(real, scenario):.1f}",
        "covered, no difference": f"{_covered(null, none):.1f}",
        "p <= 0.05, no difference": f"{100 * np.mean(np.array(p_values) <= 0.05):.1f}",
        "p <= 0.05": f"{100 * np.mean([d.p <= 0.05 for d in real]):.1f}",
        "KS": f"{kstest(p_values, 'uniform', alternative='greater' if scenario.discrete else 'two-sided').pvalue:.3f}",
    }


def _gap(scenario: Scenario) -> float:
    return scenario.truth[0] - scenario.truth[1]


def _covered(found: Sequence[Difference], scenario: Scenario) -> float:
    true = 100 * _gap(scenario)
    return 100 * float(np.mean([d.low - 1e-9 <= true <= d.high + 1e-9 for d in found]))


def write(table: pd.DataFrame, output: Path, simulations: int, seed: int) -> None:
    """``simulation.csv``, ``README.md`` and ``environment.json``."""
    output.mkdir(parents=True, exist_ok=True)
    table.to_csv(output / "simulation.csv", index=False, lineterminator="\n")
    environment = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "simulations": simulations,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in ("rcam-bench", "numpy", "scipy", "pandas")},
    }
    (output / "environment.json").write_text(json.dumps(environment, indent=1) + "\n", encoding="utf-8")
    error = 100 * (0.95 * 0.05 / simulations) ** 0.5
    page = PAGE.format(simulations=simulations, seed=seed, error=error)
    (output / "README.md").write_text(page + to_markdown(table), encoding="utf-8")


def main() -> None:
    """Parse, simulate, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--images", type=int, nargs="+", default=[20, 50, 200])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    given = parser.parse_args()
    rows = []
    for scenario in scenarios():
        for images in given.images:
            rows.append(judge(scenario, images, given.simulations, given.seed))
            print(*rows[-1].values(), sep="  ", flush=True)
    write(pd.DataFrame(rows), given.output, given.simulations, given.seed)


if __name__ == "__main__":
    main()
