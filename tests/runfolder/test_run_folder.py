"""The run folder: what it accepts, keeps, replaces and refuses."""

import errno
import json
from pathlib import Path

import pytest

from reciprocam_bench.errors import UserError
from reciprocam_bench.runfolder.folder import RunFolder, opened

CONFIG = "backbone: {model: timm/x}\ndataset: {name: samples}\nmethods: [cam]\nseed: 0\n"


def made(path: Path, **environment: object) -> RunFolder:
    """A folder that holds a run."""
    with opened(path, fresh=False) as folder:
        folder.begin(CONFIG, environment)
    return folder


def contents(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


def refused(path: Path, fresh: bool = False) -> str:
    before = contents(path) if path.is_dir() else path.read_bytes()
    with pytest.raises(UserError) as caught, opened(path, fresh):
        pytest.fail("it was opened")
    assert (contents(path) if path.is_dir() else path.read_bytes()) == before
    return str(caught.value).replace(str(path), "FOLDER")


@pytest.mark.parametrize("exists", [True, False])
def test_an_empty_or_new_folder_becomes_a_run(tmp_path: Path, exists: bool) -> None:
    path = tmp_path / "deep er" / "rün"
    if exists:
        path.mkdir(parents=True)
    with opened(path, fresh=False) as folder:
        assert folder.record() is None
        folder.begin(CONFIG, {"seed": 3})
        record = folder.record()
    assert (path / "config.yaml").read_text() == CONFIG
    assert json.loads((path / "environment.json").read_text()) == {"format": 2, "seed": 3}
    assert record is not None and record.environment.finished is None
    assert sorted(contents(path)) == ["config.yaml", "environment.json"]


@pytest.mark.parametrize("fresh", [True, False])
def test_a_folder_of_other_files_is_refused_and_left_alone(tmp_path: Path, fresh: bool) -> None:
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "mine.png").write_text("x")
    assert refused(tmp_path, fresh) == "FOLDER holds files but no run; give --output another folder"


@pytest.mark.parametrize("fresh", [True, False])
def test_somebody_elses_config_yaml_makes_no_run(tmp_path: Path, fresh: bool) -> None:
    (tmp_path / "config.yaml").write_text("precious: true\n")
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "mine.png").write_text("x")
    (tmp_path / "summary.csv").write_text("mine")
    assert "holds files but no run" in refused(tmp_path, fresh)


@pytest.mark.parametrize("fresh", [True, False])
def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path, fresh: bool) -> None:
    (tmp_path / "x").write_text("x")
    assert refused(tmp_path / "x", fresh) == "FOLDER is a file; give --output another name"
    told = "cannot be written: Not a directory; give --output another folder"
    with pytest.raises(UserError, match=told), opened(tmp_path / "x" / "run", fresh):
        pytest.fail("it was opened")


def test_a_folder_that_cannot_be_written_is_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", denied)
    told = "cannot be written: Permission denied; give --output another folder"
    with pytest.raises(UserError, match=told), opened(tmp_path / "run", fresh=False):
        pytest.fail("it was opened")


def test_opening_and_reading_a_run_writes_nothing(tmp_path: Path) -> None:
    made(tmp_path / "run")
    (tmp_path / "run/per_image.csv").write_text("rows")
    stamps = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in (tmp_path / "run").iterdir()}
    with opened(tmp_path / "run", fresh=False) as folder:
        assert folder.record() is not None and folder.holds(CONFIG)
        assert not folder.holds(CONFIG + "seed: 1\n")
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in (tmp_path / "run").iterdir()} == stamps


def test_a_kill_between_the_first_two_files_leaves_a_folder_that_can_be_begun(tmp_path: Path) -> None:
    with opened(tmp_path / "run", fresh=False) as folder:
        folder.write_environment({"fingerprint": {}})
    with opened(tmp_path / "run", fresh=False) as folder:
        assert folder.record() is None
    (tmp_path / "run/notes.txt").write_text("mine")
    assert "holds files but no run" in refused(tmp_path / "run")


def test_a_run_of_an_earlier_format_is_not_continued(tmp_path: Path) -> None:
    folder = made(tmp_path / "run")
    (tmp_path / "run/environment.json").write_text("{}")
    with pytest.raises(UserError, match="holds a run of format 1, which can be reported but not continued; give --out"):
        folder.record()
    with opened(tmp_path / "run", fresh=True) as folder:
        assert folder.record() is None


def test_fresh_replaces_all_that_is_the_runs_and_nothing_else(tmp_path: Path) -> None:
    made(tmp_path / "run", finished="today")
    mine = ("notes.txt", "plots/mine.png", "per_image.part")
    for name in (*mine, "per_image.csv", "timing.csv", "images.csv", "maps/000_a.png", "raw_maps/a/b.safetensors"):
        (tmp_path / "run" / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "run" / name).write_text("old")
    (tmp_path / "run/summary.csv").mkdir()
    with opened(tmp_path / "run", fresh=True) as folder:
        assert folder.record() is None
    assert sorted(contents(tmp_path / "run")) == sorted(mine)


@pytest.mark.parametrize("removed", range(4))
def test_a_folder_that_was_half_emptied_is_emptied_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removed: int
) -> None:
    made(tmp_path / "run")
    for name in ("per_image.csv", "summary.csv"):
        (tmp_path / "run" / name).write_text("x")
    unlink, left = Path.unlink, list(range(removed))

    def killed(path: Path, missing_ok: bool = False) -> None:
        if not left and not path.name.startswith(".lock"):
            raise KeyboardInterrupt
        if path.exists() and not path.name.startswith(".lock"):
            left.pop()
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "unlink", killed)
        with opened(tmp_path / "run", fresh=True):
            pytest.fail("it was emptied")
    with opened(tmp_path / "run", fresh=False) as folder:
        assert folder.record() is None
    assert contents(tmp_path / "run") == {}


@pytest.mark.parametrize("place", ["touch", "unlink"])
def test_a_folder_that_became_read_only_is_not_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    made(tmp_path / "run")
    before, change = contents(tmp_path / "run"), getattr(Path, place)

    def refused(path: Path, *rest: object, **more: object) -> None:
        if path.name.startswith(".lock"):
            return change(path, *rest, **more)
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch, pytest.raises(UserError) as caught:
        patch.setattr(Path, place, refused)
        with opened(tmp_path / "run", fresh=True):
            pytest.fail("it was emptied")
    assert str(caught.value).endswith("run cannot be emptied: Read-only file system; make it writable and run again")
    assert contents(tmp_path / "run").items() >= before.items()


def test_fresh_on_a_new_folder_just_begins(tmp_path: Path) -> None:
    with opened(tmp_path / "run", fresh=True) as folder:
        assert folder.record() is None


def test_environment_is_readable_json_with_names_as_they_are(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_environment({"device": "Größe ™", "path": tmp_path})
    text = (tmp_path / "environment.json").read_text(encoding="utf-8")
    assert "Größe ™" in text
    assert json.loads(text) == {"format": 2, "device": "Größe ™", "path": str(tmp_path)}
