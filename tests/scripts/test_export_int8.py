"""The rows of the int8 table, made of two runs whose maps and classes are known."""

import argparse
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from load_script import load_script
from small_maps import TRIALS, keep


@pytest.fixture
def script() -> ModuleType:
    return load_script("export_int8")


def run(script: ModuleType, place: Path, predicted: list[int], maps: np.ndarray, adcc: float) -> tuple[Path, Path]:
    """A file of 1 MiB, and a run folder of four labelled images."""
    folder = place / "run"
    keep(folder, "exported", maps)
    rows = {"image": list("abcd"), "label": [3, 1, 2, 0], "predicted": predicted}
    pd.DataFrame(rows).to_csv(folder / "per_image.csv", index=False)
    values = dict.fromkeys(script.METRICS, 50.0) | {"adcc": adcc, "adcc_low": adcc - 1, "adcc_high": adcc + 1}
    pd.DataFrame([values]).to_csv(folder / "summary.csv", index=False)
    (place / "model.onnx").write_bytes(bytes(2**20))
    return place / "model.onnx", folder


def test_the_rows_are_those_of_the_runs(script, tmp_path):
    maps = np.random.default_rng(0).random((len(TRIALS), 3, 3))
    turned = maps.copy()
    turned[0] = -turned[0]
    flat = turned.copy()
    flat[1] = 1
    runs = {
        "float32": run(script, tmp_path / "float32", [3, 1, 2, 9], maps, 80),
        "int8": run(script, tmp_path / "int8", [3, 1, 5, 9], flat, 79),
    }
    first, second = script.judged("net", runs)
    assert (first["top1"], second["top1"], second["same_class"]) == (75, 50, 75)
    assert (first["correlation"], first["images"], first["mebibytes"]) == (pytest.approx(1), 4, 1)
    assert second["correlation"] == pytest.approx((1 + 1 - 1) / 3), "a constant map has no correlation"
    assert (second["adcc"], second["adcc_low"]) == (79, 78)
    lines = script.table(pd.DataFrame([first, second])).splitlines()
    assert lines[2].startswith("| `net` | float32 | 1.0 | 75.0 |  |  | 50.0 |")
    assert lines[3].startswith("| `net` | int8 | 1.0 | 50.0 | 75.0 | 0.3333 (-0.8000) | 50.0 |")
    assert "79.0 (78.0 to 80.0)" in lines[3]
    assert {line.count("|") for line in lines} == {13}


def test_what_it_was_made_with_stands_below(script, tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.png").write_bytes(b"listed by its name")
    about = script.facts(argparse.Namespace(calibrate=tmp_path, dataset="samples"), 20)
    assert about["calibrated_on"] == 3 and about["packages"].keys() == {"torch", "onnxruntime", "onnx"}
    line = script.footer(about)
    assert line.startswith("20 images of samples, calibrated on 3 others; cpu: ") and line.endswith(f"{about['date']}.")
