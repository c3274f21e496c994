"""The simulation, smaller: its table holds what docs/compare.md says of intervals and p-values."""

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from load_script import load_script

from reciprocam_bench.reporting import estimate, paired

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def script() -> ModuleType:
    return load_script("simulate_compare")


def test_the_truth_is_what_many_images_come_to(script: ModuleType) -> None:
    for scenario in script.scenarios():
        a, b = script.draw(scenario, 40_000, np.random.default_rng(0))
        for sample, truth in zip((a, b), scenario.truth, strict=True):
            means = sample.shares().sum(axis=0)[None, None]
            assert sample.aggregation(means)[0] == pytest.approx(truth, abs=0.02), scenario.name


@pytest.mark.slow
def test_intervals_cover_and_p_values_are_uniform(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With fewer swaps a p-value is as exact and less fine; with fewer resamples an interval is 3 % wider or narrower.
    monkeypatch.setattr(paired, "_FEWEST_SWAPS", 1000)
    monkeypatch.setattr(estimate, "_RESAMPLES", 500)
    words = ["simulate_compare.py", "--simulations", "400", "--images", "40", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    script.main()
    table = pd.read_csv(tmp_path / "simulation.csv").set_index("metric")
    assert len(table) == 7
    # Four standard errors of 400 simulations are 4.4; means of ten classes of some eight trials are told apart below.
    covered = table.drop("mean of classes (Pointing)")[["covered", "covered, no difference"]]
    assert covered.min(axis=None) > 90.6 and covered.max(axis=None) < 99.4
    assert table["p <= 0.05, no difference"].max() < 9.4
    assert table["KS"].min() > 0.001
    assert json.loads((tmp_path / "environment.json").read_text())["simulations"] == 400
    assert (tmp_path / "README.md").read_text().count("| harmonic mean (ADCC)") == 2


def test_the_committed_table_is_of_the_scenarios_of_the_script(script: ModuleType) -> None:
    table = pd.read_csv(ROOT / "results/compare/simulation.csv")
    assert list(dict.fromkeys(table["metric"])) == [s.name for s in script.scenarios()]
