"""Places that go away or refuse in the middle of a run: one line, and the same command goes on to the same tables."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from tiny_runs import config, draw_plain, run, set_up_once, tables

from reciprocam_bench.config import Config
from reciprocam_bench.engine import loop
from reciprocam_bench.errors import UserError
from reciprocam_bench.runfolder import disk

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return config(draw_plain(tmp_path_factory.mktemp("six") / "pictures", 6), metrics=["complexity"], maps=1)


@pytest.fixture(scope="module")
def whole(settings: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    run(settings, folder)
    return folder


def told(settings: Config, folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        run(settings, folder)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(str(folder), "RUN")


def in_the_middle(patch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """Do something before the second of three batches is judged."""
    judge_batch, calls = loop.judge_batch, []

    def judged(*given: object) -> object:
        calls.append(given)
        if len(calls) == 2:
            do()
        return judge_batch(*given)

    patch.setattr(loop, "judge_batch", judged)


def as_a_file(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    path.write_text("x")


def as_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("name", "do", "message", "repair"),
    [
        ("", shutil.rmtree, "RUN/environment.json cannot be written: No such file or directory; what is done", None),
        ("per_image.csv", Path.unlink, "RUN/per_image.csv went away while the run went on; put it back", None),
        ("per_image.csv", as_a_folder, "RUN/per_image.csv cannot be written: Is a directory; what is done", Path.rmdir),
        ("images.csv", Path.unlink, "RUN/images.csv went away while the run went on; put it back or not", None),
        ("maps", as_a_file, "RUN/maps is a file, where a folder should be; move it away, and run", Path.unlink),
        ("raw_maps", as_a_file, "RUN/raw_maps is a file, where a folder should be; move it away,", Path.unlink),
    ],
)
def test_what_goes_away_while_a_run_goes_on(
    settings: Config,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    do: Callable[[Path], object],
    message: str,
    repair: Callable[[Path], object] | None,
) -> None:
    set_up_once(monkeypatch)
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        in_the_middle(patch, lambda: do(folder / name))
        assert told(settings, folder).startswith(message)
    if repair:
        repair(folder / name)
    run(settings, folder)
    assert tables(folder) == tables(whole)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EFBIG, errno.EDQUOT])
@pytest.mark.parametrize("written", [0, 3, 6, 9])
def test_a_disk_that_takes_no_more_loses_nothing(
    settings: Config, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, written: int
) -> None:
    set_up_once(monkeypatch)
    settings = settings.model_copy(update={"maps": 0})
    folder, write, calls = tmp_path / "run", disk._write, []

    def full(path: Path, text: str, *rest: object, **more: object) -> None:
        calls.append(path)
        if len(calls) <= written:
            return write(path, text, *rest, **more)
        write(path, text[: len(text) // 2], *rest, **more)  # as much as there was room for
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(disk, "_write", full)
        message = told(settings, folder)
    assert f"cannot be written: {os.strerror(code)}; what is done is kept, and the same command goes on" in message
    run(settings, folder)
    assert tables(folder) == tables(whole)


def test_images_that_went_away_are_told_and_back_again_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = draw_plain(tmp_path / "pictures", 6)
    settings = config(root)
    run(settings, tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        in_the_middle(patch, lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        run(settings, tmp_path / "run")
    root.rename(tmp_path / "elsewhere")
    assert told(settings, tmp_path / "run").startswith(f"dataset.root: {root} is not a folder; correct the path")
    (tmp_path / "elsewhere").rename(root)
    run(settings, tmp_path / "run")
    assert tables(tmp_path / "run") == tables(tmp_path / "whole")


def test_an_image_with_the_longest_name_gets_a_sheet(tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    root.mkdir()
    for letter in "ab":
        Image.effect_noise((40, 40), 50).save(root / f"{letter * 251}.png")
    run(config(root, maps=2), tmp_path / "run")
    assert len(list((tmp_path / "run/maps").glob("00?_*.png"))) == 2
