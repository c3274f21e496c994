"""A release agrees with itself."""

import subprocess
import sys
from pathlib import Path

import pytest
from load_script import load_script

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/check_release.py"


@pytest.fixture
def script():
    return load_script("check_release")


def tree(folder: Path, version: str = "1.2.0", cited: str = "1.2.0", heading: str = "## 1.2.0 (2030-01-02)") -> Path:
    (folder / "reciprocam_bench").mkdir()
    (folder / "reciprocam_bench/version.py").write_text(f'__version__ = "{version}"\n')
    (folder / "CITATION.cff").write_text(f"version: {cited}\n")
    (folder / "CHANGELOG.md").write_text(f"# Changelog\n\n{heading}\n\n## 1.1.0\n")
    return folder


def test_what_agrees_may_be_released(script, tmp_path):
    assert script.faults("v1.2.0", tree(tmp_path)) == []


@pytest.mark.parametrize(
    ("tag", "differing", "told"),
    [
        ("v1.3.0", {}, "the tag is v1.3.0"),
        ("1.2.0", {}, "tag it v1.2.0"),
        ("v1.2.0", {"cited": "1.1.0"}, "CITATION.cff cites 1.1.0"),
        ("v1.2.0", {"heading": "## 1.2.0 (unreleased)"}, "1.2.0 (unreleased)"),
        ("v1.2.0", {"heading": "## 1.1.0 (2029-01-02)"}, "its first heading is to be 1.2.0"),
    ],
)
def test_what_does_not_agree_is_told(script, tmp_path, tag, differing, told):
    (fault,) = script.faults(tag, tree(tmp_path, **differing))
    assert told in fault


def test_the_script_fails_on_a_tag_of_another_version():
    done = subprocess.run([sys.executable, str(SCRIPT), "v999.0"], capture_output=True, text=True)
    assert done.returncode == 1 and "the tag is v999.0" in done.stderr
