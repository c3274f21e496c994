"""What is around the code: the wheel, the citation, completion of the command line."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

import reciprocam_bench as rb

ROOT = Path(__file__).parents[1]


def test_the_wheel_holds_configs_data_files_and_the_marker_of_types(tmp_path: Path) -> None:
    wheel = pytest.importorskip("hatchling.builders.wheel")
    (built,) = wheel.WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    names = set(zipfile.ZipFile(built).namelist())
    assert {
        "reciprocam_bench/py.typed",
        "reciprocam_bench/configs/quickstart.yaml",
        "reciprocam_bench/datasets/samples_boxes.json",
        "reciprocam_bench/protocols/poppi-2021.yaml",
        "reciprocam_bench/protocols/papers/recipro-2024.yaml",
    } <= names


def test_the_citation_is_complete_and_of_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["cff-version"] == "1.2.0" and cited["message"]
    assert (cited["title"], cited["type"], cited["license"]) == ("rcam-bench", "software", "Apache-2.0")
    assert cited["authors"] == [{"name": "The rcam-bench developers"}]
    assert cited["version"] == rb.__version__
    (reference,) = cited["references"]
    assert reference["type"] and reference["title"] and reference["authors"]
    assert reference["url"] == "https://arxiv.org/abs/2209.14074"


@pytest.mark.parametrize("typed, offered", [("rcam-bench r", {"run", "report"}), ("rcam-bench run --fr", {"--fresh"})])
def test_the_shell_completes_verbs_and_options(typed: str, offered: set[str]) -> None:
    asked = {"_RCAM_BENCH_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    command = [sys.executable, "-m", "reciprocam_bench"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | asked)
    assert set(done.stdout.split()) == offered, done.stderr
