"""How batches are handed out, on cases worked out by hand; and the page is what the committed results say."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from load_script import load_script

ROOT = Path(__file__).resolve().parents[2]
NEVER = np.inf


@pytest.fixture
def script() -> ModuleType:
    return load_script("scaling")


@pytest.mark.parametrize(
    ("costs", "speeds", "deaths", "seconds", "capacity"),
    [
        ([1, 1, 1, 1], (1, 1), (NEVER, NEVER), 2, 4),
        ([1, 1, 1], (1, 1), (NEVER, NEVER), 2, 4),
        ([1, 1, 1, 1], (1, 0.5), (NEVER, NEVER), 3, 4.5),  # the fast one does three while the slow one does one
        ([4, 1, 1], (1, 1), (NEVER, NEVER), 4, 8),
        ([1, 1, 1, 1], (1, 1), (NEVER, 0.5), 4, 4.5),  # it dies in its first batch, which the other does last
        ([1, 1], (1, 1), (NEVER, 0.0), 2, 2),  # it never begins
        ([1, 3], (1, 1), (NEVER, 2.5), 5.5, 8),  # nothing else is left: the other waits for the batch of the dead one
    ],
)
def test_the_next_free_process_takes_the_next_batch(
    script: ModuleType, costs: list, speeds: tuple, deaths: tuple, seconds: float, capacity: float
) -> None:
    assert script.hand_out(costs, speeds, deaths) == pytest.approx((seconds, capacity))


def test_work_that_all_died_of_is_not_done(script: ModuleType) -> None:
    with pytest.raises(ValueError, match="all processes died"):
        script.hand_out([1, 1], (1, 1), (0.5, 0.5))


def test_a_fixed_share_waits_for_the_slowest(script: ModuleType) -> None:
    assert script.stride([1, 1, 1, 1], (1, 0.5)) == (4, 6)


def test_unlike_and_failing_processes_reach_95_percent(script: ModuleType) -> None:
    for scenario in script.SCENARIOS:
        if scenario.batches > 1000:
            found = script.simulate(scenario, 2, 1)
            assert 95 <= found["lowest"] <= found["efficiency"] <= 100, scenario.name


def test_the_committed_table_and_page_are_of_this_script(script: ModuleType) -> None:
    table = pd.read_csv(ROOT / "results/scaling/simulation.csv")
    assert list(table["processes"]) == [s.name for s in script.SCENARIOS]
    assert table.loc[table["batches"] > 1000, "lowest"].min() >= 95
    assert (ROOT / "docs/scaling.md").read_text("utf-8") == script.page(ROOT / "results")


def test_what_starting_costs_falls_out_of_the_rate() -> None:
    rows = [
        {"repeat": repeat, "processes": n, "images": images, "seconds": 10 + repeat + images / (2 * n)}
        for repeat in range(3)
        for n in (1, 2)
        for images in (10, 100)
    ]
    assert load_script("measure_processes").rates(pd.DataFrame(rows)) == {"1": 2.0, "2": 4.0}
