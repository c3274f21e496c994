"""How often intervals hold the mean of the other runs, on runs whose answer is known."""

import pandas as pd
import pytest
from load_script import load_script


@pytest.fixture(scope="module")
def script():
    return load_script("timing_coverage")


def test_each_run_is_compared_with_the_others_of_an_idle_machine(script):
    def run(number: int, machine: str, value: float, low: float, high: float) -> dict:
        ratios = {"speedup": value, "speedup_low": low, "speedup_high": high}
        return {"run": number, "machine": machine, "method": "cam", "scope": "explainer", **ratios}

    runs = [run(0, "idle", 2, 1.9, 2.1), run(1, "idle", 2, 1.9, 2.1), run(2, "idle", 2, 1.9, 2.1)]
    runs += [run(3, "idle", 2.5, 2.4, 2.6), run(4, "busy", 9, 1, 10), run(5, "busy", 9, 8, 10)]
    table = script.coverage(pd.DataFrame(runs)).set_index(["machine", "method"])
    # The others of runs 0 to 2 have the mean (2 * 2 * 2.5)^(1/3) = 2.15: outside; those of run 3 have 2.
    assert table.loc[("idle", "cam"), "holds %"] == 0
    assert table.loc[("idle", "cam"), "ratio"] == pytest.approx((8 * 2.5) ** (1 / 4))
    assert table.loc[("busy", "cam"), "holds %"] == 50, "1 to 10 holds the idle mean, 8 to 10 does not"
    assert (table.loc[("busy", "all"), ["runs", "holds %"]] == [2, 50]).all()
