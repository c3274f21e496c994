"""What is opened, and what is not."""

from collections.abc import Callable
from pathlib import Path

from reciprocam_bench.regular import not_a_file


def test_a_file_and_a_link_to_one_may_be_opened(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "link").symlink_to("a")
    assert not_a_file(tmp_path / "a") == not_a_file(str(tmp_path / "link")) == ""


def test_everything_else_says_why_not(tmp_path: Path, make_pipe: Callable[[Path], None]) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "gone").symlink_to("nowhere")
    make_pipe(tmp_path / "pipe")
    special = "is no regular file (a pipe, socket or device)"
    assert not_a_file(tmp_path) == "is a folder"
    assert not_a_file(tmp_path / "pipe") == not_a_file("/dev/null") == special
    for missing in ("none", "gone", "a/b"):
        assert not_a_file(tmp_path / missing) == "does not exist"
    assert not_a_file("a\0b").startswith("cannot be read: ")
    assert not_a_file("x" * 300) == "cannot be read: File name too long"
