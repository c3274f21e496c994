"""The table at the top of the README says what committed comparisons and timings say."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from load_script import load_script

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script():
    return load_script("headline")


def test_a_row_holds_the_paired_difference_and_the_ratio_of_the_rounds(script, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(ROOT / "results/quickstart", run)
    row = {
        "backbone": "timm/tf_efficientnet_lite0",
        "protocol": "poppi-2021",
        "metric": "adcc",
        "images": 20,
        "method": "reciprocam",
    }
    row |= {"value": 80.0, "low": -0.5, "high": 2.5, "verdict": "cannot be told"}
    rivals = [{"against": "scorecam", "against_value": 79.0, "difference": 1.0}]
    rivals += [{"against": "cam", "against_value": 70.0, "difference": 10.0}]
    pd.DataFrame([row | rival for rival in rivals]).to_csv(run / "comparison.csv", index=False)
    calls = pd.read_csv(run / "timing_rounds.csv")
    calls.loc[:, "wall_ms"] = calls["method"].map({"scorecam": 500.0}).fillna(2.0)
    calls.to_csv(run / "timing_rounds.csv", index=False)
    table = script.headline(tmp_path)
    assert "+1.00 (-0.50 to +2.50)" in table and "cannot be told" in table and "250 (250 to 250)" in table
    assert "ADCC from [run](results/run); times from [run](results/run) (cpu: " in table and " threads)" in table
    assert "70.00" not in table, "CAM is none of the two that are asked for"
    # Of other runs' times the narrowest are shown, but the judged run's own come first.
    for name, ms in (("another", 300.0), ("wide", 400.0)):
        shutil.copytree(run, tmp_path / name)
        (tmp_path / name / "comparison.csv").unlink()
        calls["wall_ms"] = calls["method"].map({"scorecam": ms}).fillna(2.0)
        calls["wall_ms"] *= 1 + (name == "wide") * 0.3 * (calls.index % 7)
        calls.to_csv(tmp_path / name / "timing_rounds.csv", index=False)
    assert "250 (250 to 250)" in script.headline(tmp_path)
    (run / "timing_rounds.csv").unlink()
    assert "150 (150 to 150)" in script.headline(tmp_path)


def test_of_several_runs_that_of_most_images_is_shown(script, tmp_path):
    def compared(name: str, *rivals: str, images: int, protocol: str = "poppi-2021") -> None:
        row = {"backbone": "torchvision/resnet18", "protocol": protocol, "metric": "adcc", "images": images}
        row |= {"method": "reciprocam", "value": 80.0, "against_value": 79.0, "difference": images / 100}
        row |= {"low": -0.5, "high": 9.5, "verdict": "better"}
        (tmp_path / name).mkdir()
        table = pd.DataFrame([row | {"against": rival} for rival in rivals])
        table.to_csv(tmp_path / name / "comparison.csv", index=False)

    compared("small", "scorecam", "gradcam", images=20)
    (tmp_path / "small/config.yaml").write_text("")
    compared("suite", "gradcam", images=500)
    (tmp_path / "suite/suite.yaml").write_text("runs: []\n")
    compared("another", "gradcam", images=100, protocol="recipro-2024")
    (tmp_path / "another/config.yaml").write_text("")
    compared("peers", "scorecam", images=900)  # no run
    table = script.headline(tmp_path)
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:4]]
    assert [(row[2], row[3], row[6]) for row in cells] == [
        ("20", "scorecam", "+0.20 (-0.50 to +9.50)"),
        ("500", "gradcam", "+5.00 (-0.50 to +9.50)"),
    ]
    assert "recipro-2024" not in table, "Score-CAM was not judged there"
    assert table.endswith("\nADCC from [small](results/small), [suite](results/suite); times from no run.\n")


def test_without_a_run_it_says_so(script, tmp_path):
    assert script.headline(tmp_path) == "Score-CAM: not measured.\n"
