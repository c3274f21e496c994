"""The verbs of the command line, end to end on a tiny network."""

import csv
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import reciprocam_bench as rb
from reciprocam_bench.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("loaded_once")]

Cli = Callable[..., tuple[int, str, str]]

CONFIG = """\
backbone: {model: timm/test_resnet, weights: none}
dataset: {name: folder, root: "${RCAM_TEST_PICTURES}"}
methods: [gradcam, reciprocam]
timing: {repeats: 2, warmup: 0, relative_to: gradcam}
batch_size: 2
device: cpu
threads: 1
maps: 0
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("my pictures é")
    generator = np.random.default_rng(0)
    for i in range(3):
        pixels = generator.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((40, 40)).save(root / f"{i}.png")
    return root


@pytest.fixture
def here(tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with ``tiny.yaml`` in its ``configs/``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RCAM_TEST_PICTURES", str(pictures))
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/tiny.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> Cli:
    """Calls ``rcam-bench`` and returns exit code, stdout and stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rcam-bench", *map(str, words)])
        capfd.readouterr()
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0), *capfd.readouterr()
        return 0, *capfd.readouterr()

    return call


def test_run_prints_the_tables_and_says_where_they_are(cli: Cli, here: Path) -> None:
    code, out, err = cli("run", "--config", "tiny")
    assert code == 0
    assert "| gradcam " in out
    assert "quality, in percent (protocol poppi-2021)" in out
    assert "speed-up over gradcam" in out
    assert err.splitlines()[0] == "timm/test_resnet (none (random)) on cpu"
    assert "3 images of folder, 0 left out" in err
    assert "judging: 3/3 images" in err
    assert err.splitlines()[-3] == "written to runs/tiny"
    assert err.splitlines()[-2].startswith("note: the weights are random (weights: none): ")
    assert err.splitlines()[-1] == "page: runs/tiny/report.html" and (here / "runs/tiny/report.html").is_file()
    assert (here / "runs/tiny/summary.csv").is_file()
    assert "${RCAM_TEST_PICTURES}" in (here / "runs/tiny/config.yaml").read_text()

    code, again, err = cli("run", "--config", "tiny")
    assert (code, again) == (0, out)
    assert err.splitlines()[0] == "runs/tiny holds this run, finished; --fresh runs it anew"
    assert [line.partition(" (")[0] for line in err.splitlines()[1:-1]] == ["note: the weights are random"]


def test_a_page_is_written_and_takes_no_parts(cli: Cli, here: Path) -> None:
    cli("run", "tiny", "-q", "--set", "timing=null")
    assert not Path("runs/tiny/report.html").exists()
    assert cli("report", "runs/tiny", "--format", "html") == (0, "runs/tiny/report.html\n", "")
    assert "random (weights: none)" in Path("runs/tiny/report.html").read_text("utf-8")
    code, out, err = cli("report", "runs/tiny", "-f", "html", "--part", "timing")
    assert (code, out) == (2, "") and "--part does not go with --format html" in err


@pytest.mark.parametrize("words", [("tiny",), ("--config", "tiny"), ("tiny", "-c", "tiny")])
def test_a_config_is_an_argument_or_an_option(cli: Cli, here: Path, words: tuple) -> None:
    assert cli("run", *words, "-l", 1, "-q", "--set", "timing=null", "--set", "methods=gradcam") == (0, "", "")
    assert (here / "runs/tiny/summary.csv").is_file()


def test_quiet_run_prints_nothing(cli: Cli, here: Path) -> None:
    sets = ("--set", "timing=null", "--set", "methods=[gradcam]")
    assert cli("run", "-c", "tiny", "-o", "out", "-l", 1, "-q", *sets) == (0, "", "")
    assert (here / "out/summary.csv").is_file()


def test_options_beat_the_config(cli: Cli, here: Path) -> None:
    sets = ("--set", "timing=null", "--set", "limit=3", "--set", "methods=[{name: gradcam, label: mine}]")
    assert cli("run", "-c", "configs/tiny.yaml", "-o", here / "a b/ü", "--limit", 2, *sets)[0] == 0
    rows = list(csv.DictReader((here / "a b/ü/per_image.csv").open()))
    assert [row["method"] for row in rows] == ["mine", "mine"]


def test_fresh_replaces(cli: Cli, here: Path) -> None:
    base = ("run", "-c", "tiny", "-o", "out", "-q", "--set", "timing=null", "--limit", 2, "--set")
    assert cli(*base, "seed=0")[0] == 0
    assert cli(*base, "seed=1")[0] == 2
    assert cli(*base, "seed=1", "--fresh")[0] == 0
    assert len((here / "out/per_image.csv").read_text().splitlines()) == 5


def test_another_experiment_gets_another_folder_and_a_larger_one_the_same(cli: Cli, here: Path) -> None:
    base = ("run", "-c", "tiny", "-q", "--set", "timing=null", "--limit", 1)
    assert cli(*base)[0] == 0
    assert cli(*base, "--set", "backbone.layer=layer3", "--set", "seed=1")[0] == 0
    assert cli(*base, "--set", "methods=[gradcam, layercam]", "--limit", 2)[0] == 0
    assert sorted(p.name for p in (here / "runs").iterdir()) == ["tiny", "tiny_layer-layer3_seed-1"]


def test_time_writes_timing_alone(cli: Cli, here: Path) -> None:
    code, out, err = cli("time", "-c", "tiny", "-o", "out", "--set", "timing.methods=[gradcam]")
    assert code == 0
    assert "timm/test_resnet on folder, time" in out
    assert "timing: 3/3 rounds" in err
    assert sorted(p.name for p in (here / "out").iterdir()) == [
        *("config.yaml", "environment.json", "timing.csv", "timing_rounds.csv")
    ]


def test_report_in_three_formats(cli: Cli, here: Path) -> None:
    cli("run", "-c", "tiny", "-q")
    code, markdown, err = cli("report", "runs/tiny")
    assert (code, err) == (0, "")
    assert markdown.count("\n|") == 4 + 7
    latex = cli("report", "runs/tiny", "--format", "latex")[1]
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 2
    assert r"$\uparrow$" in latex
    text = cli("report", "runs/tiny", "-f", "csv")[1]
    summary = list(csv.DictReader(io.StringIO(text)))
    assert [row["method"] for row in summary] == ["gradcam", "reciprocam"]
    assert float(summary[0]["adcc"]) > 0
    timing = list(csv.DictReader(io.StringIO(cli("report", "runs/tiny", "-f", "csv", "--part", "timing")[1])))
    assert {row["method"] for row in timing} == {"forward", "gradcam", "reciprocam"}


def test_report_of_several_runs_is_one_table(cli: Cli, here: Path) -> None:
    for seed in (0, 1):
        cli("run", "-c", "tiny", "-q", "--set", "timing=null", "--set", f"seed={seed}", "-o", f"out{seed}")
    code, markdown, _ = cli("report", "out0", "out1")
    assert (code, markdown.count("quality, in percent"), markdown.count("| gradcam ")) == (0, 1, 2)
    table = pd.read_csv(io.StringIO(cli("report", "out0", "out1", "-f", "csv")[1]))
    assert table["method"].tolist() == ["gradcam", "reciprocam"] * 2
    assert cli("report", "out0", "out1", "-f", "latex")[1].count(r"\begin{tabular}") == 1


def test_compare_in_every_format(cli: Cli, here: Path) -> None:
    cli("run", "-c", "tiny", "-q", "--set", "timing=null")
    code, markdown, err = cli("compare", "runs/tiny")
    assert (code, err) == (0, "written to runs/tiny/comparison.csv\n")
    assert markdown.count("\n| reciprocam | gradcam | ") == 5
    text = cli("compare", "runs/tiny", "-f", "csv", "-b", "reciprocam", "-m", "adcc", "-m", "increase")[1]
    table = pd.read_csv(io.StringIO(text))
    assert table[["method", "metric", "against"]].to_numpy().tolist() == [
        ["gradcam", "increase", "reciprocam"],
        ["gradcam", "adcc", "reciprocam"],
    ]
    assert (here / "runs/tiny/comparison.csv").read_text() == text
    assert "not shown for want of width" in cli("compare", "runs/tiny", "-f", "terminal", "-o", "out")[1]
    assert (here / "out/comparison.csv").read_text().count("\n") == 6
    cli("run", "-c", "tiny", "-q", "--set", "timing=null", "--fresh")
    assert not (here / "runs/tiny/comparison.csv").exists()


def test_validate_prints_what_a_run_would_use_and_writes_nothing(cli: Cli, here: Path) -> None:
    code, out, err = cli("validate", "tiny")
    assert (code, err) == (0, "")
    found = {line[:20].strip(): line[21:] for line in out.splitlines()}
    assert found["layer"] == "layer4, split: graph, map: 96x7x7"
    assert found["head"] == "pooled linear"
    assert found["data set"] == "folder, 3 images, 0 left out"
    assert found["protocol"] == "poppi-2021 version 1 (explains: predicted)"
    assert found["methods"] == "gradcam, reciprocam"
    assert [p.name for p in here.iterdir()] == ["configs"]


@pytest.mark.parametrize(
    "what, pattern, found, absent",
    [
        ("methods", "*cam", "reciprocam", "scorecam++"),
        ("methods", "recipro*", "reciprocam", "gradcam"),
        ("metrics", "a*", "average_drop", "coherency"),
        ("models", "resnet1?", "torchvision/resnet18", "torchvision/resnet50"),
        ("models", "timm/test_res*", "timm/test_resnet", "torchvision/resnet18"),
        ("datasets", "*", "imagenet", "samples_boxes"),
        ("protocols", "poppi*", "poppi-2021", "recipro-2024"),
        ("configs", "t*", "tiny", "quickstart"),
        ("configs", "*", "quickstart", "none"),
    ],
)
def test_ls_with_a_wildcard(cli: Cli, here: Path, what: str, pattern: str, found: str, absent: str) -> None:
    code, out, err = cli("ls", what, pattern)
    names = [line.split()[0] for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert found in names
    assert absent not in names
    assert names == sorted(names) or what == "models"


def test_ls_explains_each_name(cli: Cli, here: Path) -> None:
    assert "Options: mask, score, path." in cli("ls", "methods", "reciprocam")[1]
    assert cli("ls", "metrics", "average_drop")[1].split()[1] == "↓"
    assert "Poppi et al. 2021" in cli("ls", "protocols")[1]


def test_ls_fits_a_terminal_and_gives_a_pipe_a_line_a_name(
    cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    piped = cli("ls", "methods", "reciprocam")[1]
    assert piped.count("\n") == 1 and len(piped) > 80
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    shown = cli("ls", "methods", "reciprocam")[1]
    assert max(map(len, shown.splitlines())) <= 60 and shown.split() == piped.split()
    assert {line[:12].strip() for line in shown.splitlines()[1:]} == {""}


def test_version(cli: Cli) -> None:
    assert cli("--version") == (0, f"{rb.__version__}\n", "")


def test_without_a_command_there_is_help(cli: Cli) -> None:
    assert cli() == cli("--help")


@pytest.mark.parametrize("verb", ["run", "time", "report", "compare", "explain", "ls", "validate"])
def test_every_verb_has_help(cli: Cli, verb: str) -> None:
    code, out, err = cli(verb, "--help")
    assert (code, err) == (0, "")
    assert "Usage: " in out
    assert f"{verb} [OPTIONS]" in out


def test_control_c_says_that_the_run_can_go_on(cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("reciprocam_bench.engine.complete.complete", stop)
    code, out, err = cli("run", "-c", "tiny")
    assert (code, out) == (130, "")
    assert err.strip() == "rcam-bench: stopped; a run goes on where it was with the same command"


def test_help_answers_without_torch() -> None:
    program = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from reciprocam_bench.cli import app\n"
        "verbs = ('run', 'time', 'explain', 'report', 'compare', 'ls')\n"
        "for words in ([], ['--version'], *([v, '--help'] for v in verbs)):\n"
        "    CliRunner().invoke(app, [*words] or ['--help'])\n"
        "print([name for name in ('torch', 'timm', 'pandas', 'matplotlib') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_python_m_is_the_same_program(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "reciprocam_bench"]
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert (done.stdout, done.stderr) == (f"{rb.__version__}\n", "")
    done = subprocess.run([*command, "run", "-c", "nowhere"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("rcam-bench: config 'nowhere' not found")


def test_output_that_cannot_show_an_arrow_is_no_crash(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252"))
    assert cli("ls", "metrics")[0] == 0
    sys.stdout.flush()
    assert b"average_drop" in written.getvalue()
