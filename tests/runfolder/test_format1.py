"""Folders of format 1, which are the committed results, are reported and summarise to what they held."""

import io
from pathlib import Path

import pandas as pd
import pytest
from tiny_runs import config, copy_of, draw_plain, run

from reciprocam_bench.errors import UserError
from reciprocam_bench.reporting.report import report
from reciprocam_bench.reporting.summary import per_class, summarise
from reciprocam_bench.runfolder.record import read_record

RESULTS = Path(__file__).resolve().parents[2] / "results"
FOLDERS = sorted(p.parent for p in RESULTS.glob("*/config.yaml"))
OLD = [folder for folder in FOLDERS if read_record(folder).environment.format == 1]


@pytest.fixture(params=OLD, ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_there_are_some() -> None:
    assert FOLDERS


@pytest.mark.slow
def test_rows_summarise_to_the_committed_tables(folder: Path) -> None:
    record = read_record(folder)
    rows = record.rows()
    for name, table in (("summary.csv", summarise(record, rows)), ("per_class.csv", per_class(record, rows))):
        if table is None:
            assert not (folder / name).exists()
            continue
        committed = pd.read_csv(folder / name)
        made = pd.read_csv(io.StringIO(table.to_csv(index=False, float_format="%.4f")))
        # Published values may be added later; the number of images before a limit was not known then.
        same = [c for c in committed if not c.startswith("published_") and not c.endswith("_published")]
        assert set(same) <= set(made)
        pd.testing.assert_frame_equal(made[same], committed[same], atol=1.1e-4, rtol=0, check_dtype=False)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["markdown", "latex", "csv"])
def test_they_are_reported(folder: Path, form: str) -> None:
    assert read_record(folder).config.methods[0].title.replace("+", "") in report(folder, form)


def test_they_are_not_continued(tmp_path: Path) -> None:
    settings = config(draw_plain(tmp_path / "pictures", 1))
    old = copy_of(OLD[0], tmp_path / "run")
    with pytest.raises(UserError, match="holds a run of format 1, which can be reported but not continued"):
        run(settings, old)
