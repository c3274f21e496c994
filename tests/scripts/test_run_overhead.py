"""What a run takes beside its forward passes is measured on the passes that it made."""

import json

import pytest
from load_script import load_script


@pytest.mark.slow
def test_passes_of_a_run_are_counted_and_the_result_says_what_it_was_made_with(tmp_path):
    script = load_script("run_overhead")
    words = ["--config", "quickstart", "--set", "methods=[cam, reciprocam]", "--set", "metrics=[adcc]"]
    script.main([*words, "--few", "2", "--many", "6", "--repeats", "1", "--output", str(tmp_path)])
    found = json.loads((tmp_path / "overhead.json").read_text("utf-8"))
    [one] = found["rounds"]
    assert one["passes"] == 4 * 3, "an image and its copy masked by each of two maps"
    assert found["ratio"] == pytest.approx((one["many_s"] - one["few_s"]) / one["passes_s"])
    assert found["images"] == 4 and "methods=[cam, reciprocam]" in found["set"] and found["machine"]
