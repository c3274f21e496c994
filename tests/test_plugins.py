"""A third party's package, really installed beside ours: its method and metric run, and its failures are told."""

import csv
import os
import re
import shutil
import subprocess
import sys
from inspect import signature
from pathlib import Path

import numpy as np
import processes
import pytest
from PIL import Image

from reciprocam_bench import metric
from reciprocam_bench.metrics.annotated import LOCALISED
from reciprocam_bench.metrics.evidence import EVIDENCE

pytestmark = pytest.mark.slow

PLUGIN = Path(__file__).parent / "plugin"
CONFIG = """\
backbone: {model: timm/test_resnet, weights: none}
dataset: {name: folder, root: pictures}
methods: [gradcam, {name: normcam, power: 3}]
metrics: [average_drop, spread, masked_share, {name: masked_share, steps: 7, label: quick}]
timing: {repeats: 1, warmup: 0}
device: cpu
threads: 1
maps: 1
"""


def install(source: Path, target: Path) -> Path:
    """Install a package with pip, without network, into a folder of its own."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    done = subprocess.run([*command, "--target", str(target), str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example installed."""
    pytest.importorskip("hatchling")
    pytest.importorskip("pip")
    # A copy: building leaves files beside the sources.
    source = shutil.copytree(PLUGIN, tmp_path_factory.mktemp("plugin") / "source")
    return install(source, tmp_path_factory.mktemp("site"))


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A working folder with a config and two pictures."""
    (tmp_path / "pictures").mkdir()
    generator = np.random.default_rng(0)
    for i in range(2):
        pixels = generator.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((60, 60)).save(tmp_path / "pictures" / f"{i}.png")
    (tmp_path / "mine.yaml").write_text(CONFIG)
    return tmp_path


def beside(site: Path | None) -> dict[str, str]:
    """The environment of a process that finds the packages of ``site``."""
    paths = [str(site)] if site else []
    return os.environ | {"PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")])}


def rcam_bench(here: Path, site: Path | None, *words: str) -> subprocess.CompletedProcess:
    """``rcam-bench`` in a process that finds the packages of ``site``."""
    return processes.rcam_bench(*words, cwd=here, env=beside(site))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_its_method_and_its_metric_run_like_ours(here: Path, site: Path):
    # Really started, as users do: what a start finds by itself.
    command = [sys.executable, "-m", "reciprocam_bench", "run", "-c", "mine.yaml", "-o", "run", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=here, env=beside(site))
    assert done.returncode == 0, done.stderr
    judged = rows(here / "run/per_image.csv")
    assert [row["method"] for row in judged] == ["gradcam", "normcam[power=3]"] * 2
    assert {row["status"] for row in judged} == {"ok"}
    assert all(0 < float(row[name]) < 1 for row in judged for name in ("spread", "masked_share", "quick"))
    assert all(row["masked_share"] != row["quick"] for row in judged)
    summary = {row["method"]: row for row in rows(here / "run/summary.csv")}
    mean = sum(float(r["spread"]) for r in judged if r["method"] == "normcam[power=3]") / 2
    assert float(summary["normcam[power=3]"]["spread"]) == pytest.approx(100 * mean, abs=0.01)
    assert {row["method"] for row in rows(here / "run/timing.csv")} == {"forward", "gradcam", "normcam[power=3]"}
    # Its title and direction are in the folder, so that a reader needs no plug-in.
    done = rcam_bench(here, None, "report", "run")
    assert done.returncode == 0 and "Masked ↓" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("methods", "normcam  ``(sum_k |A_k|^p)^(1/p)``: how strongly each position is active, whatever the class. "),
        ("metrics", "spread  ↓ Share of the image where the normalised map ``(N, H, W)`` is above one half"),
        ("metrics", "masked_share  ↓ Mean probability of the class while the most salient k/steps of the pixels are"),
    ],
)
def test_they_are_listed(here: Path, site: Path, what: str, line: str):
    done = rcam_bench(here, site, "ls", what, line.partition(" ")[0])
    assert done.returncode == 0 and done.stdout.startswith(line)


def test_without_the_package_they_are_unknown(here: Path):
    done = rcam_bench(here, None, "ls", "metrics", "spread")
    assert (done.returncode, done.stdout) == (2, "")


def test_its_options_are_checked_like_ours(here: Path, site: Path):
    done = rcam_bench(here, site, "run", "-c", "mine.yaml", "--set", "methods=[{name: normcam, pover: 2}]")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "rcam-bench: method 'normcam': unknown option 'pover'; did you mean 'power'?\n"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (
            ["ls", "methods"],
            "import no_such_thing\n",
            "failed to load: ModuleNotFoundError: No module named 'no_such_thing'; fix or",
        ),
        (
            ["run", "-c", "mine.yaml", "-o", "run"],
            "from reciprocam_bench import explainer\n@explainer('gradcam')\ndef mine(fp): ...\n",
            "method 'gradcam' is registered twice; rename one of the two",
        ),
    ],
)
def test_a_broken_plug_in_is_told_in_one_line(here: Path, site: Path, words: list[str], code: str, told: str):
    broken = shutil.copytree(site, here / "broken")
    (broken / "rcam_bench_example.py").write_text(code)
    done = rcam_bench(here, broken, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("{name: masked_share, steps: 0}", "option 'steps': Input should be greater than or equal to 1, not 0"),
        ("{name: masked_share, stepps: 2}", "unknown option 'stepps'; did you mean 'steps'?"),
    ],
)
def test_the_options_of_its_metric_are_checked_like_ours(here: Path, site: Path, asked: str, told: str):
    done = rcam_bench(here, site, "run", "-c", "mine.yaml", "--set", f"metrics=[{asked}]")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"rcam-bench: metric 'masked_share': {told}\n"


def test_a_method_that_fails_on_an_image_is_told_in_its_row(here: Path, site: Path):
    failing = shutil.copytree(site, here / "failing")
    text = (PLUGIN / "rcam_bench_example.py").read_text()
    (failing / "rcam_bench_example.py").write_text(text.replace("return fp.features", "return fp.no_features"))
    done = rcam_bench(here, failing, "run", "-c", "mine.yaml", "-o", "run", "--quiet", "--set", "timing=null")
    assert "Traceback" not in done.stderr
    status = {row["method"]: row["status"] for row in rows(here / "run/per_image.csv")}
    assert status["gradcam"] == "ok"
    assert status["normcam[power=3]"].startswith("error: AttributeError: 'ForwardPass' object has no attribute")


def test_the_page_names_all_that_a_metric_may_ask_for():
    page = (PLUGIN.parents[1] / "docs/plugins.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    named = {word.partition("(")[0] for row in rows for word in re.findall(r"`([^`]+)`", row)}
    assert named >= EVIDENCE | LOCALISED
    assert {p for p in signature(metric).parameters if p not in ("name", "higher_is_better")} <= {
        word.partition("=")[0] for word in named
    }


def test_the_page_on_plug_ins_shows_the_tested_files():
    page = (PLUGIN.parents[1] / "docs/plugins.md").read_text(encoding="utf-8")
    for name in ("pyproject.toml", "rcam_bench_example.py"):
        assert (PLUGIN / name).read_text(encoding="utf-8").strip() in page, f"docs/plugins.md has another {name}"
