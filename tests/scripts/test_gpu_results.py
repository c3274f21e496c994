"""The script that makes every figure of a GPU, tried on the CPU with a tiny network."""

import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import tiny_runs
import yaml
from command_server import rcam_bench_in

ROOT = Path(__file__).resolve().parents[2]
TIMED = {"fast_pair", "fast_pair_bfloat16", "methods", "paper_pair"}
JUDGED = {"short_run", "short_run_bfloat16"}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The PATH, with an ``rcam-bench`` that starts at once."""
    with rcam_bench_in(tmp_path_factory.mktemp("path") / "bin") as folder:
        yield f"{folder}{os.pathsep}{os.environ['PATH']}"


def call(output: Path, pictures: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "TINY": "1", "IMAGENET_ROOT": str(pictures), **variables}
    command = ["bash", "scripts/gpu_results.sh", str(output)]
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_all_parts_are_made_once_and_shown(tmp_path: Path, path: str) -> None:
    pictures, output = tiny_runs.draw_classes(tmp_path / "pictures"), tmp_path / "gpu"
    nothing = call(output, pictures, PATH=path, MINUTES="0")
    assert nothing.returncode and nothing.stderr.count("left out: ") == len(TIMED | JUDGED)
    assert "holds no finished part" in nothing.stderr

    done = call(output, pictures, PATH=path, ARCHIVE=str(tmp_path / "gpu.tar.gz"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "left out" not in done.stderr
    assert {part.parent.name for part in output.glob("*/done")} == TIMED | JUDGED
    for name in TIMED:
        timing = pd.read_csv(output / name / "timing.csv")
        assert set(timing["batch_size"]) == {1, 2} and (timing["status"] == "ok").all(), name
        assert timing["speedup_low"].notna().any(), name
    for name in JUDGED:
        config = yaml.safe_load((output / name / "config.yaml").read_text())
        assert isinstance(config["batch_size"], int) and isinstance(config["workers"], int)
        assert len(pd.read_csv(output / name / "summary.csv")) == 6
    page = (output / "README.md").read_text()
    assert page.startswith("# Figures of cpu: ") and all(f"## {name}\n" in page for name in TIMED | JUDGED)
    against = page.partition("## Against float32")[2].partition("\n## ")[0]
    for method in ("scorecam", "ablationcam"):
        assert re.search(rf"\| bfloat16 +\| no +\| {method} ", against)
    assert "torchcam:ScoreCAM" in page

    with tarfile.open(tmp_path / "gpu.tar.gz") as archive:
        assert {"./README.md", *(f"./{name}/timing.csv" for name in TIMED)} <= set(archive.getnames())

    before = tiny_runs.contents(output)
    again = call(output, pictures, PATH=path)
    changed = {name for name, content in tiny_runs.contents(output).items() if before[name] != content}
    assert again.returncode == 0 and changed <= {str(output / "README.md")}
