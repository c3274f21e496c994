"""Files are whole on disk, or as they were."""

import os
from pathlib import Path

import pytest

from reciprocam_bench.errors import UserError
from reciprocam_bench.runfolder.disk import append, check_place, read_text, write_whole


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What reaches the system, in order: what a synced file holds, renames, and folders synced."""
    seen: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(handle: int) -> None:
        place = Path(f"/proc/self/fd/{handle}").readlink()
        seen.append(f"sync {place.name} {place.read_text()}" if place.is_file() else "sync folder")
        fsync(handle)

    def renamed(self: Path, target: Path) -> Path:
        seen.append(f"rename {self.name} to {target.name}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    return seen


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="handles have no names on this system")


@needs_proc
def test_a_file_is_written_synced_renamed_and_the_rename_synced(tmp_path: Path, events: list[str]) -> None:
    write_whole(tmp_path / "a.csv", "new")
    assert events == ["sync .a.csv.part new", "rename .a.csv.part to a.csv", "sync folder"]


@needs_proc
def test_added_text_is_synced_before_append_returns(tmp_path: Path, events: list[str]) -> None:
    (tmp_path / "a.csv").touch()
    append(tmp_path / "a.csv", "one\n")
    append(tmp_path / "a.csv", "two\n")
    assert events == ["sync a.csv one\n", "sync a.csv one\ntwo\n"]


def test_a_stop_before_the_rename_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path / "a.csv", "old")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", killed)
        write_whole(tmp_path / "a.csv", "new and longer")
    assert (tmp_path / "a.csv").read_text() == "old"
    write_whole(tmp_path / "a.csv", "new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.csv cannot be written: No such file or directory; what is done is kept"):
        write_whole(tmp_path / "gone" / "a.csv", "x")
    with pytest.raises(UserError, match=r"a\.csv went away while the run went on; put it back or not, and run again"):
        append(tmp_path / "a.csv", "x")
    assert not (tmp_path / "a.csv").exists()
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(UserError, match=r"a\.csv cannot be written: Is a directory; what is done is kept"):
        append(tmp_path / "a.csv", "x")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told() -> None:
    with pytest.raises(UserError, match=r"/dev/full cannot be written: No space left on device; what is done is kept"):
        append(Path("/dev/full"), "x")


@pytest.mark.parametrize("name", ["x" * 300, "x/" * 3000, "a\0b"])
def test_a_name_that_no_file_system_takes_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"cannot be a folder: .*; give another name") as caught:
        check_place(tmp_path / name)
    assert len(str(caught.value)) < 200
    check_place(tmp_path / "new")


def test_any_text_comes_back(tmp_path: Path) -> None:
    text = "Größe ☃ \u2028 \r\n lone \udcff"
    write_whole(tmp_path / "a", text)
    assert read_text(tmp_path / "a", "") == text


def test_what_is_no_file_is_told_and_what_is_absent_is_absent(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "mark").write_bytes(b"\xef\xbb\xbfa,b\n")
    for name, told in (
        ("", "is a folder"),
        ("fifo", "is no regular file"),
        ("mark", "line 1: begins with a byte-order"),
    ):
        with pytest.raises(UserError, match=f"{told}.*; the cure"):
            read_text(tmp_path / name, "the cure")
    with pytest.raises(FileNotFoundError):
        read_text(tmp_path / "absent", "the cure")
