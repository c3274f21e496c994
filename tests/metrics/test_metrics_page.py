"""``docs/metrics.md`` names every metric, with its direction and its cost."""

import re
from pathlib import Path

import pytest
from tester import metric_of

from reciprocam_bench.metrics.registry import METRICS

PAGE = (Path(__file__).parents[2] / "docs/metrics.md").read_text("utf-8")
ROWS = {m[1]: (m[2], m[3].strip()) for m in re.finditer(r"^\| `(\w+)` ([↑↓]) \|.*\| ([^|]*) \|$", PAGE, re.MULTILINE)}


def test_every_metric_has_its_row_and_nothing_else_has() -> None:
    assert ROWS.keys() == METRICS.all().keys()


@pytest.mark.parametrize("name", sorted(METRICS.all()))
def test_a_row_says_direction_and_cost(name: str) -> None:
    metric = metric_of(name)
    arrow, cost = ROWS[name]
    assert arrow == ("↑" if metric.spec.higher_is_better else "↓")
    found = {"passes": 0, "explained": 0}
    for part in [metric, *metric.parts]:
        found["passes"] += part.forwards
        found["explained"] += part.explains
    words = [f"{found['passes']:g}"] if found["passes"] else []
    words += [f"{found['explained']:g} explained"] if found["explained"] else []
    assert cost == (" + ".join(words) or "0")
