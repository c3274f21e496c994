"""A run folder of format 1, as version 0.1.0 left it, is reported and summarises to what it held."""

import io
from pathlib import Path

import pandas as pd
import pytest
from tiny_runs import config, copy_of, draw_plain, run

from reciprocam_bench.errors import UserError
from reciprocam_bench.reporting.report import report
from reciprocam_bench.reporting.summary import per_class, summarise
from reciprocam_bench.runfolder.record import read_record

OLD = Path(__file__).parent / "format1"


@pytest.mark.slow
def test_rows_summarise_to_the_tables_that_were_made_then() -> None:
    record = read_record(OLD)
    assert record.environment.format == 1
    rows = record.rows()
    for name, table in (("summary.csv", summarise(record, rows)), ("per_class.csv", per_class(record, rows))):
        if table is None:
            assert not (OLD / name).exists()
            continue
        committed = pd.read_csv(OLD / name)
        made = pd.read_csv(io.StringIO(table.to_csv(index=False, float_format="%.4f")))
        # Published values may be added later; the number of images before a limit was not known then.
        same = [c for c in committed if not c.startswith("published_") and not c.endswith("_published")]
        assert set(same) <= set(made)
        pd.testing.assert_frame_equal(made[same], committed[same], atol=1.1e-4, rtol=0, check_dtype=False)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["markdown", "latex", "csv"])
def test_it_is_reported(form: str) -> None:
    assert read_record(OLD).config.methods[0].title in report(OLD, form)


def test_it_is_not_continued(tmp_path: Path) -> None:
    settings = config(draw_plain(tmp_path / "pictures", 1))
    old = copy_of(OLD, tmp_path / "run")
    with pytest.raises(UserError, match="holds a run of format 1, which can be reported but not continued"):
        run(settings, old)
