"""Tables that grow by batches: what goes in comes out, and what is torn is left out."""

from pathlib import Path

import pandas as pd
import pytest

from reciprocam_bench.errors import UserError
from reciprocam_bench.runfolder.rows import GrowingTable, cell
from reciprocam_bench.runfolder.tables import numbers, read_table

COLUMNS = ["image", "value"]


@pytest.fixture
def rows(tmp_path: Path) -> GrowingTable:
    table = GrowingTable(tmp_path / "rows.csv", COLUMNS)
    table.replace(pd.DataFrame(columns=COLUMNS))
    return table


def read(rows: GrowingTable) -> list[list[str]]:
    return read_table(rows.path, "the cure", grows=True).to_numpy().tolist()


def test_rows_come_back_as_they_went_in(rows: GrowingTable) -> None:
    rows.append([{"image": "a", "value": 1}])
    rows.append([{"image": "b", "value": ""}, {"image": "c"}])
    assert rows.path.read_text() == "image,value\na,1\nb,\nc,\n"
    assert read(rows) == [["a", "1"], ["b", ""], ["c", ""]]


@pytest.mark.parametrize(
    "value, text",
    [(0.1 + 0.2, "0.3"), (123456789.0, "1.234568e+08"), (1e-12, "1e-12"), (float("nan"), ""), (7, "7"), ("a", "a")],
)
def test_numbers_keep_seven_digits_and_what_is_not_defined_is_empty(value: object, text: str) -> None:
    assert str(cell(value)) == text


@pytest.mark.parametrize(
    "text",
    [
        "a,b",
        'say "hi"',
        "émile ☃.png",
        "a\nb",
        "x\u2028y",
        "x\x0by",
        "x\x85y",
        " a ",
        "#1",
        "NA",
        "001",
        "\udcff",
        "pending",
    ],
)
def test_any_text_survives(rows: GrowingTable, text: str) -> None:
    rows.append([{"image": text, "value": 1}, {"image": "next", "value": 2}])
    assert read(rows) == [[text, "1"], ["next", "2"]]
    before = rows.path.read_bytes()
    rows.replace(read_table(rows.path, "the cure", grows=True))
    assert rows.path.read_bytes() == before


def test_equal_rows_are_not_written_again(rows: GrowingTable) -> None:
    rows.append([{"image": "a", "value": 1}])
    stamp = rows.path.stat().st_mtime_ns, rows.path.stat().st_ino
    rows.replace(pd.DataFrame([["a", "1"]], columns=COLUMNS))
    rows.append([])
    assert (rows.path.stat().st_mtime_ns, rows.path.stat().st_ino) == stamp


@pytest.mark.parametrize("torn", ["b", "b,", "b,2", 'b,"2', "b,2\0\0\0", 'b,"2\n', "b\n"])
def test_a_torn_last_row_is_not_read_and_replacing_cuts_it_off(rows: GrowingTable, torn: str) -> None:
    rows.append([{"image": "a", "value": 1}])
    whole = rows.path.read_bytes()
    rows.path.write_bytes(whole + torn.encode())
    assert read(rows) == [["a", "1"]]
    rows.replace(read_table(rows.path, "the cure", grows=True))
    assert rows.path.read_bytes() == whole


@pytest.mark.parametrize(
    "line, told",
    [("b", "1 cells, the"), ("b,2,3", "3 cells, the"), ("", "0 cells, the"), ('"b,2', "unexpected end of data")],
)
def test_a_torn_row_in_the_middle_is_damage(rows: GrowingTable, line: str, told: str) -> None:
    rows.append([{"image": "a", "value": 1}])
    rows.path.write_text(f"{rows.path.read_text()}{line}\nc,3\nd,4\n")
    with pytest.raises(UserError, match=rf"rows\.csv, line 3: {told}.*; the cure"):
        read(rows)


def test_a_table_that_is_made_whole_may_not_be_torn(rows: GrowingTable) -> None:
    rows.path.write_text("image,value\na,1\nb")
    with pytest.raises(UserError, match=r"rows.csv, line 3: the file is cut off; the cure"):
        read_table(rows.path, "the cure")


def test_numbers_are_read_fast_or_slow_to_the_same_values(rows: GrowingTable) -> None:
    rows.append([{"image": "a", "value": 0.25}, {"image": "b", "value": ""}, {"image": "c", "value": "pending"}])
    fast = read_table(rows.path, "the cure", values=["value"])
    assert fast["value"].dtype == float
    slow = numbers(rows.path, read_table(rows.path, "the cure"), ["value"], "the cure")
    pd.testing.assert_frame_equal(numbers(rows.path, fast, ["value"], "the cure"), slow)
    assert slow["value"].isna().tolist() == [False, True, True]


@pytest.mark.filterwarnings("error")
def test_hundreds_of_columns_are_read_without_a_word_of_pandas(tmp_path: Path) -> None:
    names = [f"curve@{i:03}" for i in range(300)]
    table = pd.DataFrame({name: ["0.5", ""] for name in names})
    found = numbers(tmp_path / "per_image.csv", table, names[:200], "the cure")
    assert list(found) == names and found[names[0]].tolist() == pytest.approx([0.5, float("nan")], nan_ok=True)
    assert found.assign(more=1)["more"].sum() == 2
