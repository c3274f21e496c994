"""What is made once: whole or not at all, by one process or by two."""

from pathlib import Path

import pytest

from reciprocam_bench.cache import cache_folder, made_once
from reciprocam_bench.errors import UserError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RCAM_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(text: str):
    return lambda folder: (folder / "a.txt").write_text(text)


def test_the_folder_is_the_variables_else_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCAM_CACHE_DIR", "/here")
    assert cache_folder() == Path("/here")
    monkeypatch.delenv("RCAM_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/there")
    assert cache_folder() == Path("/there/rcam-bench")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache/rcam-bench"


def test_it_is_made_once(cache: Path) -> None:
    place = made_once("x/one", write("first"))
    assert place == cache / "x/one" and made_once("x/one", write("second")) == place
    assert (place / "a.txt").read_text() == "first"
    assert [p.name for p in (cache / "x").iterdir()] == ["one"]


def test_what_fails_half_way_leaves_nothing(cache: Path) -> None:
    def half(folder: Path) -> None:
        (folder / "a.txt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made_once("one", half)
    assert list(cache.iterdir()) == []
    assert (made_once("one", write("whole")) / "a.txt").read_text() == "whole"


def test_who_comes_second_takes_what_the_first_made(cache: Path) -> None:
    def beside_another(folder: Path) -> None:
        write("late")(folder)
        made_once("one", write("early"))

    assert (made_once("one", beside_another) / "a.txt").read_text() == "early"
    assert [p.name for p in cache.iterdir()] == ["one"]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RCAM_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"file/x/one cannot be written: .*; set RCAM_CACHE_DIR to a folder that can"):
        made_once("x/one", write(""))
