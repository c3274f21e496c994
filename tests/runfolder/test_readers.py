"""Reading a run folder needs neither torch nor the registries, and takes no time for them."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ["torch", "torchvision", "timm", "sklearn", "captum"]
HEAVY += [f"reciprocam_bench.{name}" for name in ("explainers.registry", "metrics.registry", "datasets.registry")]
HEAVY += ["reciprocam_bench.backbones.load"]
RUNS = sorted(p.parent.name for p in (ROOT / "results").glob("*/config.yaml"))
# All programs run in one process, to start which takes most of the time; each is told what it was first to load.
TELL = f"""
import sys
seen = set()
def tell():
    new = {{m for m in {HEAVY} if m in sys.modules}} - seen
    seen.update(new)
    print('LOADED', sorted(new))
"""
COMMAND = """
sys.argv = {words}
from reciprocam_bench.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code
"""
SUMMARIES = """
from pathlib import Path
from reciprocam_bench.reporting.summary import summarise, per_class
from reciprocam_bench.runfolder.record import read_record
record = read_record(Path('results/quickstart'))
assert len(summarise(record, record.rows()))
per_class(record, record.rows())
"""

pytestmark = pytest.mark.slow


def command(*words: str) -> str:
    """A program that calls ``rcam-bench`` with these words, which must end well."""
    return COMMAND.format(words=["rcam-bench", *words])


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compared")


@pytest.fixture(scope="module")
def loaded(comparison: Path) -> dict[str, str]:
    """By program: the heavy modules that it loaded."""
    programs = {run: command("report", f"results/{run}") for run in RUNS}
    programs |= {"compare": command("compare", "results/quickstart", "--output", str(comparison))}
    programs |= {"summaries": SUMMARIES, "what loads one": "import sklearn"}
    text = "\n".join([TELL, *(f"{code}\ntell()" for code in programs.values())])
    done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = [line.removeprefix("LOADED ") for line in done.stdout.splitlines() if line.startswith("LOADED ")]
    return dict(zip(programs, told, strict=True))


@pytest.mark.parametrize("run", RUNS)
def test_report_of_a_run_loads_no_torch(loaded: dict[str, str], run: str) -> None:
    assert loaded[run] == "[]"


def test_compare_loads_no_torch(loaded: dict[str, str], comparison: Path) -> None:
    assert loaded["compare"] == "[]"
    assert (comparison / "comparison.csv").is_file()


def test_summaries_are_made_without_torch(loaded: dict[str, str]) -> None:
    assert loaded["summaries"] == "[]"


def test_the_test_would_see_it(loaded: dict[str, str]) -> None:
    assert loaded["what loads one"] == "['sklearn']"
    pytest.importorskip("captum")  # one of the extras
    assert all(find_spec(name) for name in HEAVY), "a name that is none would never be seen"
