"""The script that makes the results: `rcam-bench` takes each of its commands, and results/ holds no other run."""

import os
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from reciprocam_bench.config_file import Suite, load_experiments

ROOT = Path(__file__).resolve().parents[2]
DATA = ("IMAGENET_ROOT", "IMAGENET_BOXES", "VOC_ROOT", "COCO_ROOT")
# Notes its words, and leaves the rows that a run would.
STUB = """#!/usr/bin/env bash
printf '%s\\037' "$@" >> "$CALLS"
echo >> "$CALLS"
while [ $# -gt 1 ] && [ "$1" != --output ]; do shift; done
if [ "$1" = --output ]; then mkdir -p "$2/network"; echo rows > "$2/network/per_image.csv"; fi
"""


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """The words of each command, where all data are given; twice, as a second call goes on."""
    place = tmp_path_factory.mktemp("regenerate")
    for name, content in {"rcam-bench": STUB, "python": "#!/bin/sh\n"}.items():
        (place / name).write_text(content)
        (place / name).chmod(0o755)
    variables = {**os.environ, "PATH": f"{place}{os.pathsep}{os.environ['PATH']}", "CALLS": str(place / "calls")}
    variables |= {"SCORECAM": "1", **dict.fromkeys(DATA, "/data")}
    for _ in range(2):
        (place / "calls").unlink(missing_ok=True)
        command = ["bash", "scripts/regenerate_results.sh", str(place / "results")]
        done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        for suite in ("networks", "networks_metrics"):
            packed = list((place / "results" / suite).rglob("per_image.csv*"))
            assert [path.name for path in packed] == ["per_image.csv.gz"]
    return [line.split("\037")[:-1] for line in (place / "calls").read_text().splitlines()]


def options(words: list[str], name: str) -> list[str]:
    return [value for option, value in pairwise(words) if option == name]


def test_every_command_is_one_that_is_taken(calls: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DATA:
        monkeypatch.setenv(name, "/data")
    made = [words for words in calls if words[0] in ("run", "time")]
    assert len(made) > 12
    for words in made:
        limit = int(next(iter(options(words, "--limit")), 0)) or None
        load_experiments(options(words, "--config")[0], tuple(options(words, "--set")), limit=limit)
    assert {words[0] for words in calls} == {"run", "time", "compare"}


def test_it_makes_the_committed_runs(calls: list[list[str]]) -> None:
    made = {Path(folder).name for words in calls for folder in options(words, "--output")}
    committed = {path.parent.name for path in (ROOT / "results").glob("*/config.yaml")}
    committed |= {path.parent.name for path in (ROOT / "results").glob("*/suite.yaml")}
    assert committed <= made


def test_every_metric_is_asked_of_the_networks_of_the_other_suite(
    calls: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in DATA:
        monkeypatch.setenv(name, "/data")
    words = next(words for words in calls if any(word.endswith("networks_metrics") for word in words))
    found = load_experiments(options(words, "--config")[0], tuple(options(words, "--set")))
    wanted = load_experiments("networks")
    assert isinstance(found, Suite) and isinstance(wanted, Suite)
    assert [config.backbone for config in found.configs] == [config.backbone for config in wanted.configs]


def test_limits_are_those_of_the_committed_runs(calls: list[list[str]]) -> None:
    limits = {
        Path(options(words, "--output")[0]).name: options(words, "--limit") for words in calls if "--limit" in words
    }
    assert len(limits) > 5
    for name, (limit, *_) in limits.items():
        configs = list((ROOT / "results" / name).rglob("config.yaml"))
        assert configs and {str(yaml.safe_load(path.read_text())["limit"]) for path in configs} == {limit}, name
