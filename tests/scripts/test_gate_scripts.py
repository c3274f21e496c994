"""The gate's simulation holds what docs/ci.md says; its trial notices a method that was slowed on purpose."""

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import tiny_runs
import yaml
from load_script import load_script

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    return load_script("simulate_gate")


def test_false_alarms_are_rare_and_a_fifth_is_found(simulation: ModuleType) -> None:
    quiet, usual = simulation.NOISES[:2]
    for noise in (quiet, usual):
        assert simulation.verdicts(1.0, noise, 200, seed=1)["worse"] < 1
        assert simulation.verdicts(0.8, noise, 200, seed=1)["worse"] > 90
    assert simulation.verdicts(0.75, simulation.NOISES[3], 100, seed=1)["cannot be told"] > 30


@pytest.mark.slow
def test_the_simulation_is_written(simulation: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["simulate_gate.py", "--simulations", "20", "--output", str(tmp_path)])
    simulation.main()
    found = pd.read_csv(tmp_path / "simulated.csv")
    assert len(found) == len(simulation.NOISES) * len(simulation.CHANGES)
    assert found[["worse", "cannot be told", "holds", "better"]].sum(axis=1).round(6).eq(100).all()
    assert json.loads((tmp_path / "simulated.json").read_text())["simulations"] == 20
    assert (tmp_path / "simulated.md").read_text().count("\n| ") == len(found) + 1


def test_the_committed_results_keep_the_promise() -> None:
    found = pd.read_csv(ROOT / "results/gate/simulated.csv").set_index(["machine", "loss %"])["worse"]
    assert (found.xs(0, level="loss %").drop("very busy") < 1).all()
    assert found["quiet", 20] > 95 and found["usual", 20] > 95


@pytest.mark.slow
def test_a_slowed_method_fails_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tiny_runs.draw_plain(tmp_path / "images", 1)
    timing = {"repeats": 20, "relative_to": "gradcam"}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny_runs.settings(root, timing=timing, seed=0)))
    trial, in_a_process = load_script("gate_trial"), []

    def rcam_bench(*words: object, first: Path | None = None) -> subprocess.CompletedProcess:
        """The slowed call runs as ever; what is not slowed runs here, to start which takes most of its time."""
        if first is None:
            return tiny_runs.command(*words)
        in_a_process.append(words[0])
        return alone(*words, first=first)

    alone = trial.rcam_bench
    monkeypatch.setattr(trial, "rcam_bench", rcam_bench)
    words = ["--config", tmp_path / "tiny.yaml", "--work", tmp_path / "work", "--output", tmp_path / "out"]
    # Twenty times as long cannot be missed on any machine.
    words = ["gate_trial.py", *words, "--slow", "reciprocam", "--factor", "20"]
    monkeypatch.setattr(sys, "argv", list(map(str, words)))
    with pytest.raises(SystemExit) as end:
        trial.main()
    assert not end.value.code and in_a_process == ["time"]
    (row,) = pd.read_csv(tmp_path / "out/trials.csv").to_dict("records")
    assert "| reciprocam takes 20 times as long | fail   | 1 of 1 |" in (tmp_path / "out/trials.md").read_text()
    assert row["exit"] == 1 and "reciprocam over gradcam, explainer, batch 1" in row["failed"]
