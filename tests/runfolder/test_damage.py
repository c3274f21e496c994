"""Between two starts every file of a run folder is damaged in every way: one line, or the same end as undisturbed."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from damage import ANY, CELLS, JSON, TABLE, YAML, Damage, of_text, text_in
from tiny_runs import config, copy_of, draw_plain, environment, run, set_up_once, tables, write_environment

from reciprocam_bench.config import Config
from reciprocam_bench.errors import UserError
from reciprocam_bench.reporting.report import report

pytestmark = pytest.mark.slow

MADE = ("summary.csv", "timing.csv")  # made whole of the rows, or of measurements
GROWING = ("per_image.csv", "skipped.csv", "images.csv")
CASES: list[tuple[str, str, Damage]] = [
    *((name, what, damage) for name in (*GROWING, *MADE) for what, damage in (ANY | TABLE).items()),
    *((n, f"{column} is {t}", text_in(column, t)) for n, cells in CELLS.items() for column, t in cells),
    ("images.csv", "other names", of_text(lambda text: text.replace(".png,", ".jpg,"))),
    *(("environment.json", what, damage) for what, damage in (ANY | JSON).items()),
    *(("config.yaml", what, damage) for what, damage in (ANY | YAML).items()),
]
# What a kill, a full disk or a power cut leaves of a file that grows, and what is made anew where it is absent.
_GONE = {"absent", "a dangling link"}
_TORN = _GONE | {"empty", "cut in the middle", "cut by its last byte", "nul bytes at its end", "nul bytes alone"}
REPAIRED = {(name, what) for name in GROWING for what in _TORN}
REPAIRED |= {(name, what) for name in (*MADE, "environment.json") for what in _GONE}
REPAIRED |= {("config.yaml", "a huge line"), ("config.yaml", "an unset variable")}  # no damage to what it says
REPAIRED |= {("environment.json", "cut by its last byte")}  # a line break
# Without its newest rows a run still has tables; reading does not need what was skipped.
SHOWN = {("images.csv", what) for what in _TORN - {"cut in the middle", "cut by its last byte"}}
SHOWN |= {("environment.json", what) for what in _GONE | {"cut by its last byte"}}
SHOWN |= {("config.yaml", what) for what in ("a huge line", "an unset variable")}
SHOWN |= {("per_image.csv", "category is dog")}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Config:
    root = draw_plain(tmp_path_factory.mktemp("damage") / "pictures", 5)
    for name in ("001.png", "003.png"):
        (root / name).write_text("no image")
    return config(root, timing={"repeats": 1, "warmup": 0, "relative_to": "gradcam"}, limit=5)


@pytest.fixture(scope="module")
def whole(settings: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with times, and two images that could not be read."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    run(settings, folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def one_network() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        set_up_once(patch)
        yield


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    """A test that waits for a pipe, or reads for ever, fails."""
    signal.alarm(60)
    yield
    signal.alarm(0)


def everything(folder: Path) -> dict[str, bytes | str]:
    return {str(p): p.read_bytes() if p.is_file() else "no file" for p in sorted(folder.rglob("*"))}


def told(error: pytest.ExceptionInfo[UserError], folder: Path, name: str) -> None:
    """It is one line that names the file, or what is wrong with the run, and says what to do."""
    text = str(error.value)
    assert text.isprintable() and len(text) < 400 + len(str(folder))
    assert str(folder) in text and "; " in text
    at_fault = (
        name,
        "per_image.csv",
        "of other data",
        "of another config",
        "of format",
        "is not a run",
        "holds files but no run",
    )
    assert any(words in text for words in at_fault), text


def of_damage(cases: list[tuple[str, str, Damage]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name, what, damage", cases, ids=[f"{name}: {what}" for name, what, _ in cases])


@of_damage(CASES)
def test_a_damaged_run_is_told_in_one_line_or_goes_on_to_the_same_tables(
    settings: Config, whole: Path, tmp_path: Path, name: str, what: str, damage: Damage
) -> None:
    folder = copy_of(whole, tmp_path / "run")
    damage(folder / name)
    before = everything(folder)
    if (name, what) in REPAIRED:
        run(settings, folder)
        assert tables(folder) == tables(whole)
        assert "holds this run, finished" in run(settings, folder)
        return
    with pytest.raises(UserError) as error:
        run(settings, folder)
    told(error, folder, name)
    assert everything(folder) == before


# Whether rows lack their image when the last one is torn off depends on which image is the last.
@of_damage([case for case in CASES if case[:2] != ("images.csv", "cut by its last byte")])
def test_a_damaged_run_is_reported_right_or_not_at_all(
    whole: Path, tmp_path: Path, name: str, what: str, damage: Damage
) -> None:
    folder = copy_of(whole, tmp_path / "run")
    damage(folder / name)
    before = everything(folder)
    if name == "skipped.csv" or (name, what) in SHOWN:
        # What else the machine did stands in environment.json alone.
        shown, expected = (re.sub(r"Note: while timing, .*\n\n", "", report(f, "markdown")) for f in (folder, whole))
        assert shown.replace("; the run is not finished", "") == expected
    else:
        with pytest.raises(UserError) as error:
            report(folder, "markdown")
        told(error, folder, name)
    assert everything(folder) == before


def test_a_config_cut_at_any_line_end_is_told(settings: Config, whole: Path, tmp_path: Path) -> None:
    folder = copy_of(whole, tmp_path / "run")
    rows = (whole / "config.yaml").read_text().splitlines(keepends=True)
    assert len(rows) > 30
    for count in range(len(rows)):
        (folder / "config.yaml").write_text("".join(rows[:count]))
        with pytest.raises(UserError) as error:
            report(folder, "markdown")
        told(error, folder, "config.yaml")
    assert f"line {len(rows)}: the file is empty or cut off: 'seed', its last key, is missing; " in str(error.value)
    with pytest.raises(UserError, match="is empty or cut off"):
        run(settings, folder)


@of_damage([case for case in CASES if case[0] in GROWING and case[1] in _TORN])
def test_an_unfinished_run_goes_on_from_what_is_whole(
    settings: Config, whole: Path, tmp_path: Path, name: str, what: str, damage: Damage
) -> None:
    folder = copy_of(whole, tmp_path / "run")
    content = environment(folder)
    del content["finished"]
    write_environment(folder, content)
    (folder / "summary.csv").unlink()
    damage(folder / name)
    run(settings, folder)
    assert tables(folder) == tables(whole)


@pytest.mark.parametrize("cut", [1, 20, 0.2, 0.3, 0.55, 0.77, 0.9])
@pytest.mark.parametrize("tail", [b"", b"\0" * 64, b'po,"2'])
def test_rows_may_be_torn_anywhere(settings: Config, whole: Path, tmp_path: Path, cut: float, tail: bytes) -> None:
    folder = copy_of(whole, tmp_path / "run")
    content = (whole / "per_image.csv").read_bytes()
    kept = content[: int(cut * len(content)) if isinstance(cut, float) else cut]
    (folder / "per_image.csv").write_bytes(kept + tail)
    run(settings, folder)
    assert tables(folder) == tables(whole)


def test_a_report_of_fewer_rows_than_were_judged_is_refused(whole: Path, tmp_path: Path) -> None:
    folder = copy_of(whole, tmp_path / "run")
    rows = (folder / "per_image.csv").read_text().splitlines(keepends=True)
    (folder / "per_image.csv").write_text("".join(rows[:-2]))
    with pytest.raises(
        UserError, match=r"says that 3 images of 'gradcam' were judged under poppi-2021, .* holds 2; run"
    ):
        report(folder, "markdown")


@pytest.mark.parametrize("name", ["maps", "raw_maps"])
def test_a_file_in_the_place_of_a_folder_is_told(settings: Config, whole: Path, tmp_path: Path, name: str) -> None:
    folder = copy_of(whole, tmp_path / "run")
    (folder / name).write_text("mine")
    with pytest.raises(UserError, match=f"{name} is a file, where a folder should be; move it away, and run again"):
        run(settings, folder)
    run(settings, folder, fresh=True)
    assert not (folder / name).exists() and tables(folder) == tables(whole)


def test_the_line_is_that_of_the_file_also_where_cells_hold_line_breaks(whole: Path, tmp_path: Path) -> None:
    folder = copy_of(whole, tmp_path / "run")
    path = folder / "per_image.csv"
    rows = path.read_text().splitlines()
    rows[1] = rows[1].replace(",ok,", ',"error: a\nb",')
    rows[2] = rows[2].replace(",ok,", ',"fi\nne",')
    path.write_text("\n".join(rows) + "\n")
    with pytest.raises(UserError, match=r"per_image\.csv, line 5: 'status' cannot be 'fi\\nne'"):
        report(folder, "markdown")


def test_a_disk_that_is_full_is_told_and_the_run_goes_on_later(
    settings: Config, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reciprocam_bench.runfolder import disk

    write, left = disk._write, [7]

    def full(path: Path, text: str, mode: str, **how: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            write(path, text[: len(text) // 2], mode, **how)
            raise OSError(28, "No space left on device")
        write(path, text, mode, **how)

    with monkeypatch.context() as patch:
        patch.setattr(disk, "_write", full)
        with pytest.raises(
            UserError, match=r"cannot be written: No space left on device; what is done is kept, and the"
        ):
            run(settings, tmp_path / "run")
    run(settings, tmp_path / "run")
    assert tables(tmp_path / "run") == tables(whole)
