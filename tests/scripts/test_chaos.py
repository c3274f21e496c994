"""What the script of kills says of what it found."""

import json
from collections import Counter
from pathlib import Path

import pytest
from load_script import load_script


@pytest.fixture(scope="module")
def script():
    return load_script("chaos")


def test_tables_differ_by_their_bytes_and_where_one_is_missing(script, tmp_path: Path) -> None:
    for name, text in (("whole", "a,b\n1,2\n"), ("same", "a,b\n1,2\n"), ("other", "a,b\n1,3\n")):
        (tmp_path / name).mkdir()
        for table in script.TABLES:
            (tmp_path / name / table).write_text(text)
    (tmp_path / "same" / "summary.csv").unlink()
    assert script.differing(tmp_path / "whole", tmp_path / "whole") == []
    assert script.differing(tmp_path / "whole", tmp_path / "same") == ["summary.csv"]
    assert script.differing(tmp_path / "whole", tmp_path / "other") == list(script.TABLES)


def test_what_was_found_names_kills_runs_and_machine(script, tmp_path: Path) -> None:
    counts = Counter({"kills": 5, "runs": 2, "runs that differ": 1})
    counts += Counter({"kills of one of several while joining": 2, "kills of all before that": 3})
    script.write(tmp_path / "made", counts, seed=3, images=40)
    text = (tmp_path / "made/chaos.md").read_text()
    assert text.startswith("5 kills (2 of one of several while joining, 3 of all before that) in 2 runs of 40")
    assert "1 runs had other tables" in text and "seed 3" in text
    found = json.loads((tmp_path / "made/chaos.json").read_text())
    assert found["counts"]["runs that differ"] == 1 and {"device", "commit", "torch", "python"} <= found.keys()
