"""What moves with batches and threads is measured against one reference, setting by setting."""

import json

import pandas as pd
import pytest
import tiny_runs
import torch
from load_script import load_script


@pytest.mark.slow
def test_every_setting_is_compared_with_the_reference(tmp_path, monkeypatch):
    script = load_script("what_differs")
    monkeypatch.setattr(script, "METHODS", ("cam", "gradcam", "reciprocam"))
    pictures = tiny_runs.draw_classes(tmp_path / "pictures")
    words = ["--model", "timm/test_resnet", "--weights", "none", "--images", str(pictures), "--count", "4"]
    script.main([*words, "--output", str(tmp_path / "out")])
    table = pd.read_csv(tmp_path / "out/differences.csv")
    assert set(table["method"]) == set(script.METHODS) and {1, 3, 4} <= set(table["batch_size"])
    assert table["map"].between(0, 1e-3).all() and table["metric"].between(0, 1e-2).all()
    about = json.loads((tmp_path / "out/environment.json").read_text("utf-8"))
    assert about["reference"] == ["cpu", 8, 1] and about["images"] == 4 and about["torch"]
    assert (tmp_path / "out/table.md").read_text("utf-8").count("timm/test_resnet") == len(
        table[["batch_size", "threads"]].drop_duplicates()
    )


def test_a_difference_is_the_largest_of_all_images():
    script = load_script("what_differs")

    reference = {"cam": {"map": torch.zeros(2, 1, 1), "adcc": torch.tensor([0.5, 0.5]), "drop": torch.zeros(2)}}
    found = {"cam": {"map": torch.tensor([[[0.1]], [[0.0]]]), "adcc": torch.tensor([0.5, 0.2]), "drop": torch.zeros(2)}}
    (row,) = script.largest(found, reference)
    assert row["method"] == "cam" and row["map"] == pytest.approx(0.1) and row["metric"] == pytest.approx(0.3)
