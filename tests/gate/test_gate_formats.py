"""JUnit, github-action-benchmark, Bencher and GitHub Actions."""

import json
import math
from pathlib import Path
from xml.etree import ElementTree

import pytest

from reciprocam_bench.errors import UserError
from reciprocam_bench.gate.actions import tell_github
from reciprocam_bench.gate.baseline import Pair
from reciprocam_bench.gate.decide import BETTER, HOLDS, UNTOLD, WORSE, Change, Estimate
from reciprocam_bench.gate.findings import Finding
from reciprocam_bench.gate.formats import bencher, github_benchmark, junit

PAIR = Pair(method="a<b>&\x01", over="scorecam", scope="explainer", batch_size=8)
RATIO = Finding(str(PAIR), Estimate(200, 190, 210), Estimate(150, 140, 160), Change(0.75, 0.7, 0.8, WORSE), PAIR)
UNSURE = Finding("b", Estimate(2, 1, 3), Estimate(2, 1, 3), Change(1, 0.5, 2, UNTOLD), PAIR)
GONE = Finding("c", Estimate(2, 1, 3), None, Change(math.nan, None, None, WORSE), PAIR, reason="50 % gone\nfor good")
ADCC = Finding(
    "adcc of a (p)",
    Estimate(75, None, None),
    Estimate(76, 70, 80),
    Change(1.0, 0.9, 1.1, BETTER),
    key=("p", "a", "adcc"),
)
DROP = Finding(
    "drop of a (p)",
    Estimate(20, None, None),
    Estimate(20, None, None),
    Change(0.0, None, None, HOLDS),
    key=("p", "a", "average_drop"),
    higher_is_better=False,
)
ALL = [RATIO, UNSURE, GONE, ADCC, DROP]


@pytest.mark.parametrize(("strict", "failures", "skipped"), [(False, 2, 1), (True, 3, 0)])
def test_junit_has_a_case_a_number(strict: bool, failures: int, skipped: int) -> None:
    root = ElementTree.fromstring(junit(ALL, strict))
    suite = root.find("testsuite")
    assert root.tag == "testsuites" and suite is not None
    for element in (root, suite):
        assert (element.get("tests"), element.get("failures"), element.get("skipped")) == (
            "5",
            str(failures),
            str(skipped),
        )
    cases = suite.findall("testcase")
    assert [len(case.findall("failure")) for case in cases] == [1, int(strict), 1, 0, 0]
    assert [len(case.findall("skipped")) for case in cases] == [0, int(not strict), 0, 0, 0]
    assert cases[0].get("name") == "a<b>&  over scorecam, explainer, batch 8"
    assert cases[0].get("classname") == "rcam-bench.ratios" and cases[3].get("classname") == "rcam-bench.metrics"
    failure = cases[0].find("failure")
    assert failure is not None and "200 to 150, -25.0 % (-30.0 to -20.0): worse" in str(failure.get("message"))


def test_the_actions_benchmark_has_what_is_better_when_bigger() -> None:
    found = json.loads(github_benchmark(ALL))
    assert [entry["name"] for entry in found] == [RATIO.title, "b", "adcc of a (p)"]
    assert found[0]["value"] == 150 and found[0]["unit"] == "times" and found[0]["range"] == "140 to 160"
    assert found[2]["value"] == 76 and found[2]["unit"] == "%" and "75.00 to 76.00, +1.00" in found[2]["extra"]


def test_benchers_format_has_bounds() -> None:
    found = json.loads(bencher(ALL))
    assert found[RATIO.title] == {"speedup": {"value": 150, "lower_value": 140, "upper_value": 160}}
    assert found["adcc of a (p)"] == {"adcc": {"value": 76, "lower_value": 70, "upper_value": 80}}
    assert found["drop of a (p)"] == {"average_drop": {"value": 20}}
    assert "c" not in found


def test_github_is_told_in_lines_and_on_the_page(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    environment = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    found = tell_github(ALL, "| table |", False, environment)
    assert [line.partition(" ")[0] for line in found] == ["::error", "::error", "::warning"]
    assert found[1] == "::error title=rcam-bench check::c: 50 %25 gone%0Afor good"
    assert summary.read_text() == "before\n## rcam-bench check\n\n| table |\n"
    assert [line.partition(" ")[0] for line in tell_github(ALL, "", True, environment)] == ["::error"] * 3


def test_elsewhere_nothing_is_told(tmp_path: Path) -> None:
    assert tell_github(ALL, "x", False, {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}) == []
    assert not (tmp_path / "summary.md").exists()
    with pytest.raises(UserError, match=r"GITHUB_STEP_SUMMARY: .* cannot be written"):
        tell_github(ALL, "x", False, {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path)})
