"""Reading a run folder needs neither torch nor the registries, and takes no time for them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = "('torch', 'torchvision', 'timm', 'sklearn', 'captum', 'reciprocam_bench.explainers.registry', "
HEAVY += "'reciprocam_bench.metrics.registry', 'reciprocam_bench.backbones.load', 'reciprocam_bench.datasets.registry')"


pytestmark = pytest.mark.slow


def loaded_by(program: str) -> str:
    """The heavy modules that a program ends with."""
    program += f"\nimport sys\nprint('LOADED', [m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.rpartition("LOADED ")[2].strip()


def program_of(*words: str) -> str:
    """A program that calls ``rcam-bench`` with these words, which must end well."""
    program = f"import sys\nsys.argv = {['rcam-bench', *words]}\nfrom reciprocam_bench.cli import main\n"
    return program + "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code"


@pytest.mark.parametrize("folder", sorted(p.parent.name for p in (ROOT / "results").glob("*/config.yaml")))
def test_report_of_a_run_loads_no_torch(folder: str) -> None:
    assert loaded_by(program_of("report", f"results/{folder}")) == "[]"


def test_compare_loads_no_torch(tmp_path: Path) -> None:
    assert loaded_by(program_of("compare", "results/quickstart", "--output", str(tmp_path))) == "[]"
    assert (tmp_path / "comparison.csv").is_file()


def test_summaries_are_made_without_torch(tmp_path: Path) -> None:
    program = "from pathlib import Path\nfrom reciprocam_bench.reporting.summary import summarise, per_class\n"
    program += "from reciprocam_bench.runfolder.record import read_record\n"
    program += "record = read_record(Path('results/quickstart'))\nassert len(summarise(record, record.rows()))\n"
    program += "per_class(record, record.rows())"
    assert loaded_by(program) == "[]"


def test_the_test_would_see_it() -> None:
    assert "torch" in loaded_by("import reciprocam_bench.engine.complete")
