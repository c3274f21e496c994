"""The table of times is that of the measured calls, and a network that is in the file is left alone."""

import json
import sys
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from load_script import load_script

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture
def script() -> ModuleType:
    return load_script("export_timing")


def calls_of(with_map: list[float]) -> pd.DataFrame:
    """Three blocks of three rounds: logits take 10 ms, the map as much more as is given for each block."""
    rows = []
    for block, factor in enumerate(with_map):
        for number in range(3):
            at = {"threads": 2, "batch_size": 8, "block": block, "round": number, "runtime": "ONNX Runtime"}
            rows.append(at | {"output": "logits", "wall_ms": 10.0 + number})
            rows.append(at | {"output": "logits and map", "wall_ms": factor * (10 + number)})
    return pd.DataFrame(rows)


def test_the_ratio_is_over_blocks(script, monkeypatch):
    monkeypatch.delenv("RCAM_WEIGHTS_DIR", raising=False)
    (row,) = script.summary("timm/net", calls_of([1.02, 1.04, 1.06])).to_dict("records")
    assert (row["weights"], row["threads"], row["batch_size"], row["rounds"], row["blocks"]) == ("random", 2, 8, 9, 3)
    assert row["logits_ms"] == 11 and row["with_map_ms"] == pytest.approx(11 * 1.04)
    assert row["ratio"] == pytest.approx(np.prod([1.02, 1.04, 1.06]) ** (1 / 3))
    assert row["ratio_low"] < 1.02 and row["ratio_high"] > 1.06, "an interval of three blocks is wide"


def test_the_table_says_where_it_was_measured(script):
    rows = script.summary("timm/net", calls_of([1.02, 1.02]))
    machine = {"others": 0.3, "steal": 0.0}
    at = {"device": "cpu: Z80", "cores": 2, "packages": {"torch": "2"}, "date": "2026-01-01", "machine": machine}
    lines = script.table(rows, {"timm/net": at}).splitlines()
    assert lines[2] == "| `timm/net` | 2 | 8 | ONNX Runtime | 11.0 | 11.2 | 1.020 (1.020 to 1.020) |"
    assert lines[-1].startswith(
        "`timm/net`: cpu: Z80, 2 cores, torch 2, 2026-01-01; while timing, other processes used 30"
    )


@pytest.mark.slow
@pytest.mark.usefixtures("operators_once")
def test_every_runtime_is_measured_once(script, monkeypatch, tmp_path):
    monkeypatch.setattr(script.os, "cpu_count", lambda: 1)
    words = ["export_timing.py", "--model", "timm/test_resnet", "--blocks", "2", "--rounds", "1"]
    monkeypatch.setattr(sys, "argv", [*words, "--output", str(tmp_path)])
    script.main()
    rows = pd.read_csv(tmp_path / "timing.csv")
    runtimes = ("ONNX Runtime", "ONNX Runtime int8", "PyTorch")
    assert rows.groupby("runtime").batch_size.apply(list).to_dict() == {name: [1, 8] for name in runtimes}
    assert (rows[["logits_ms", "with_map_ms", "ratio"]] > 0).all(axis=None)
    assert json.loads((tmp_path / "timing.json").read_text())["timm/test_resnet"]["packages"]["onnxruntime"]
    before = (tmp_path / "timing.csv").read_bytes()
    monkeypatch.setattr(script, "measure", None)  # would fail if it were called
    script.main()
    assert (tmp_path / "timing.csv").read_bytes() == before
