"""The jobs of docs/ci.md: whole YAML, and every rcam-bench line of them runs in their order, on a tiny network."""

import shlex
import sys
from pathlib import Path

import pytest
import tiny_runs
import yaml

from reciprocam_bench.cli import main

ROOT = Path(__file__).parents[2]
# In the working folder a config is found before those of the package.
CONFIG = {"timing": {"repeats": 10, "warmup": 0, "relative_to": "gradcam"}, "seed": 0}


def jobs() -> list[list[str]]:
    """The commands of each YAML block that is a CI configuration."""
    found = []
    for block in (ROOT / "docs/ci.md").read_text("utf-8").split("\n```yaml\n")[1:]:
        content = yaml.safe_load(block.partition("\n```")[0])
        if "jobs" in content:
            steps = [step for job in content["jobs"].values() for step in job["steps"]]
            assert all(("uses" in step) != ("run" in step) for step in steps)
            found.append([step["run"] for step in steps if "run" in step])
        else:
            found += [job["script"] for job in content.values()]
    return found


def test_there_is_a_job_for_each_of_the_two() -> None:
    assert len(jobs()) == 2 and all(any("rcam-bench check" in line for line in job) for job in jobs())


@pytest.mark.slow
@pytest.mark.usefixtures("loaded_once")
@pytest.mark.parametrize("job", jobs(), ids=["github", "gitlab"])
def test_its_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    root = tiny_runs.draw_plain(tmp_path / "images", 2)
    (tmp_path / "gate.yaml").write_text(yaml.safe_dump(tiny_runs.settings(root, **CONFIG)))
    commands = [line for line in job if line.startswith("rcam-bench")]
    assert len(commands) >= 2
    if not any("--update" in command for command in commands):
        run("time --config gate --output before")
        run("check before --against baselines/gate.json --update")
    for command in commands:
        run(command.removeprefix("rcam-bench "))
    assert "| checked" in (tmp_path / "summary.md").read_text()
    assert (tmp_path / "check.xml").stat().st_size


def run(line: str) -> None:
    """A command that must not be refused; two timings of a busy machine may differ by anything."""
    sys.argv = ["rcam-bench", *shlex.split(line)]
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code in ((0, 1) if "check" in line and "--update" not in line else (0,)), line
