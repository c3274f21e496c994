"""The run folder: what it accepts, keeps, replaces and refuses."""

import json
from pathlib import Path

import pytest
from reciprocam_bench.engine.store import Rows, RunFolder, skipped_rows

from reciprocam_bench.errors import UserError

PRINT = {"torch": "2", "threads": 1}


def opened(path: Path, config: str = "a: 1\n", fingerprint: dict | None = None, fresh: bool = False) -> RunFolder:
    folder = RunFolder(path)
    folder.open(config, fingerprint or PRINT, fresh)
    return folder


def refused(path: Path, **how: object) -> str:
    before = contents(path) if path.is_dir() else path.read_bytes()
    with pytest.raises(UserError) as caught:
        opened(path, **how)
    assert (contents(path) if path.is_dir() else path.read_bytes()) == before
    return str(caught.value).replace(str(path), "FOLDER")


def contents(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


def finish(folder: RunFolder) -> None:
    folder.write_environment({"fingerprint": PRINT, "finished": "today"})


@pytest.mark.parametrize("exists", [True, False])
def test_an_empty_or_new_folder_becomes_a_run(tmp_path: Path, exists: bool) -> None:
    path = tmp_path / "deep er" / "rün"
    if exists:
        path.mkdir(parents=True)
    folder = opened(path)
    assert (path / "config.yaml").read_text() == "a: 1\n"
    assert folder.environment() == {"fingerprint": PRINT}
    assert not folder.finished


@pytest.mark.parametrize("fresh", [True, False])
def test_a_folder_of_other_files_is_refused_and_left_alone(tmp_path: Path, fresh: bool) -> None:
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "mine.png").write_text("x")
    assert refused(tmp_path, fresh=fresh) == "FOLDER holds files but no run; give --output another folder"


@pytest.mark.parametrize("fresh", [True, False])
def test_somebody_elses_config_yaml_makes_no_run(tmp_path: Path, fresh: bool) -> None:
    (tmp_path / "config.yaml").write_text("precious: true\n")
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "mine.png").write_text("x")
    (tmp_path / "summary.csv").write_text("mine")
    refused(tmp_path, fresh=fresh)


@pytest.mark.parametrize("fresh", [True, False])
def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path, fresh: bool) -> None:
    (tmp_path / "x").write_text("x")
    assert refused(tmp_path / "x", fresh=fresh) == "FOLDER is a file; give --output another name"
    with pytest.raises(UserError, match="cannot be written: Not a directory; give --output another folder"):
        opened(tmp_path / "x" / "run")


def test_a_folder_that_cannot_be_written_is_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", denied)
    with pytest.raises(UserError, match="cannot be written: Permission denied; give --output another folder"):
        opened(tmp_path / "run")


def test_the_same_config_continues(tmp_path: Path) -> None:
    opened(tmp_path / "run")
    (tmp_path / "run/per_image.csv").write_text("rows")
    before = contents(tmp_path / "run")
    opened(tmp_path / "run")
    assert contents(tmp_path / "run") == before


def test_a_finished_run_is_opened_without_writing_to_it(tmp_path: Path) -> None:
    finish(opened(tmp_path / "run"))
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").iterdir()}
    assert opened(tmp_path / "run").finished
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "run").iterdir()} == stamps


@pytest.mark.parametrize("finished, words", [(True, "a finished run"), (False, "an unfinished run")])
def test_another_config_is_refused(tmp_path: Path, finished: bool, words: str) -> None:
    folder = opened(tmp_path / "run")
    if finished:
        finish(folder)
    assert refused(tmp_path / "run", config="a: 2\n") == (
        f"FOLDER holds {words} of another config; give --output another folder, or --fresh to replace it"
    )


def test_fresh_replaces_a_run_of_another_config(tmp_path: Path) -> None:
    folder = opened(tmp_path / "run")
    for name in ("per_image.csv", "summary.csv", "timing.csv", "skipped.csv"):
        folder.write(name, "old")
    (tmp_path / "run/maps").mkdir()
    (tmp_path / "run/maps/000_a.png").write_text("old")
    finish(folder)
    assert not opened(tmp_path / "run", config="a: 2\n", fresh=True).finished
    assert sorted(contents(tmp_path / "run")) == ["config.yaml", "environment.json"]
    assert (tmp_path / "run/config.yaml").read_text() == "a: 2\n"


@pytest.mark.parametrize("extra", ["notes.txt", "per_image.part", ".summary.csv.part", "plots/mine.png"])
def test_fresh_replaces_a_run_beside_a_file_that_is_not_its_own(tmp_path: Path, extra: str) -> None:
    folder = opened(tmp_path / "run")
    folder.write("summary.csv", "old")
    finish(folder)
    (tmp_path / "run" / extra).parent.mkdir(exist_ok=True)
    (tmp_path / "run" / extra).write_text("mine")
    assert not opened(tmp_path / "run", config="a: 2\n", fresh=True).finished
    assert "summary.csv" not in contents(tmp_path / "run")
    assert extra != "notes.txt" or "notes.txt" in contents(tmp_path / "run")


def test_fresh_on_a_new_folder_just_begins(tmp_path: Path) -> None:
    assert not opened(tmp_path / "run", fresh=True).finished


def test_an_unfinished_run_begun_under_other_conditions_is_refused(tmp_path: Path) -> None:
    opened(tmp_path / "run")
    assert refused(tmp_path / "run", fingerprint={"torch": "3", "threads": 1}) == (
        "FOLDER holds an unfinished run begun under other conditions (torch was 2, is 3); use --fresh"
    )


def test_a_finished_run_is_shown_under_any_conditions(tmp_path: Path) -> None:
    finish(opened(tmp_path / "run"))
    assert opened(tmp_path / "run", fingerprint={"torch": "3", "threads": 1}).finished


@pytest.mark.parametrize("content", [b"", b'{"fingerprint": {"to', b"[]", b"\xff\xfe\x00"])
def test_a_damaged_environment_is_an_unfinished_one(tmp_path: Path, content: bytes) -> None:
    finish(opened(tmp_path / "run"))
    (tmp_path / "run/environment.json").write_bytes(content)
    folder = opened(tmp_path / "run")
    assert not folder.finished
    assert folder.environment()["fingerprint"] == PRINT


def test_a_damaged_config_is_another_config(tmp_path: Path) -> None:
    opened(tmp_path / "run")
    (tmp_path / "run/config.yaml").write_bytes(b"\xff\xfe\x00")
    assert "of another config" in refused(tmp_path / "run")


def test_files_are_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = opened(tmp_path)
    folder.write("summary.csv", "old")

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", killed)
        folder.write("summary.csv", "new and longer")
    assert (tmp_path / "summary.csv").read_text() == "old"
    folder.write("summary.csv", "new")
    assert (tmp_path / "summary.csv").read_text() == "new"
    assert not list(tmp_path.glob("*.part"))


def test_environment_is_readable_json_with_names_as_they_are(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    folder.write_environment({"device": "Größe ™"})
    text = (tmp_path / "environment.json").read_text(encoding="utf-8")
    assert "Größe ™" in text
    assert json.loads(text) == {"device": "Größe ™"}


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    table = Rows(tmp_path / "rows.csv", ("image", "value"))
    table.keep([])
    return table


def test_rows_come_back_as_they_went_in(rows: Rows) -> None:
    rows.append([{"image": "a", "value": 1}])
    rows.append([{"image": "b", "value": ""}, {"image": "c"}])
    assert rows.path.read_text() == "image,value\na,1\nb,\nc,\n"
    assert rows.read() == [{"image": "a", "value": "1"}, {"image": "b", "value": ""}, {"image": "c", "value": ""}]


def test_numbers_keep_seven_digits(rows: Rows) -> None:
    rows.append([{"image": 0.1 + 0.2, "value": 123456789.0}, {"image": float("nan"), "value": 1e-12}])
    assert rows.path.read_text().splitlines()[1:] == ["0.3,1.234568e+08", ",1e-12"]


@pytest.mark.parametrize(
    "text", ["a,b", 'say "hi"', "émile ☃.png", "a\nb", "x\u2028y", "x\x0by", "x\x85y", " a ", "#1"]
)
def test_any_file_name_survives(rows: Rows, text: str) -> None:
    rows.append([{"image": text, "value": 1}, {"image": "next", "value": 2}])
    assert [row["image"] for row in rows.read()] == [text, "next"]
    rows.keep(rows.read())
    assert [row["image"] for row in rows.read()] == [text, "next"]


def test_a_missing_or_empty_file_holds_no_rows(tmp_path: Path) -> None:
    assert Rows(tmp_path / "none.csv", ("a",)).read() == []
    (tmp_path / "empty.csv").write_text("")
    assert Rows(tmp_path / "empty.csv", ("a",)).read() == []


@pytest.mark.parametrize("torn", ["b", "b,", "b,2", 'b,"2', "b,2\0\0\0"])
def test_a_torn_last_line_is_not_read_and_keep_cuts_it_off(rows: Rows, torn: str) -> None:
    rows.append([{"image": "a", "value": 1}])
    whole = rows.path.read_bytes()
    rows.path.write_bytes(whole + torn.encode())
    assert rows.read() == [{"image": "a", "value": "1"}]
    rows.keep(rows.read())
    assert rows.path.read_bytes() == whole


@pytest.mark.parametrize("line", ["b", "b,2,3"])
def test_a_line_with_too_few_or_too_many_cells_is_not_read(rows: Rows, line: str) -> None:
    rows.append([{"image": "a", "value": 1}])
    rows.path.write_text(rows.path.read_text() + line + "\n")
    assert rows.read() == [{"image": "a", "value": "1"}]


def test_rows_are_on_disk_when_append_returns_and_nothing_writes_nothing(rows: Rows) -> None:
    rows.append([])
    assert rows.path.read_text() == "image,value\n"
    rows.append([{"image": "a", "value": 1}])
    assert rows.path.read_text().endswith("a,1\n")


def test_skipped_rows_name_protocol_image_and_reason(tmp_path: Path) -> None:
    table = skipped_rows(tmp_path)
    table.keep([{"protocol": "", "image": "a", "reason": "not in the label file"}])
    assert (tmp_path / "skipped.csv").read_text() == "protocol,image,reason\n,a,not in the label file\n"
