"""Rows that were packed with gzip are read as the plain ones are; a run does not go on with them."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_runs import command, config, contents, copy_of, draw_plain, run

from reciprocam_bench.config import Config

READERS: dict[str, Callable[[Path], tuple[object, ...]]] = {
    "report": lambda folder: ("report", folder, "--format", "csv"),
    "page": lambda folder: ("report", folder, "--format", "html"),
    "paper": lambda folder: ("report", folder, "--paper", "recipro-2024"),
    "compare": lambda folder: ("compare", folder, "--format", "csv"),
    "agreement": lambda folder: ("compare", folder, "--agreement", "--format", "csv"),
    "baseline": lambda folder: ("check", folder, "--against", folder / "baseline.json", "--update"),
}
WRITERS: dict[str, Callable[[Path], tuple[object, ...]]] = {
    "run": lambda folder: ("run", "--config", folder / "config.yaml", "--output", folder),
    "time": lambda folder: (
        "time",
        "--config",
        folder / "config.yaml",
        "--set",
        "timing.repeats=1",
        "--output",
        folder,
    ),
    "merge": lambda folder: ("merge", folder, "--output", folder.with_name("merged")),
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return config(draw_plain(tmp_path_factory.mktemp("pictures"), 6), maps=6)


@pytest.fixture(scope="module")
def plain(settings: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain") / "run"
    run(settings, folder)
    return folder


@pytest.fixture
def packed(plain: Path, tmp_path: Path) -> Path:
    folder = copy_of(plain, tmp_path / "run")
    rows = folder / "per_image.csv"
    (folder / "per_image.csv.gz").write_bytes(gzip.compress(rows.read_bytes()))
    rows.unlink()
    return folder


@pytest.mark.parametrize("words", READERS.values(), ids=READERS)
def test_what_reads_a_run_reads_its_packed_rows(
    words: Callable[[Path], tuple[object, ...]], plain: Path, packed: Path, tmp_path: Path
) -> None:
    there, here = command(*words(copy_of(plain, tmp_path / "plain" / "run"))), command(*words(packed))
    assert (there.returncode, there.stderr.replace("plain/", "")) == (here.returncode, here.stderr)
    assert there.returncode == 0
    assert there.stdout.replace("plain/", "") == here.stdout


@pytest.mark.parametrize("words", WRITERS.values(), ids=WRITERS)
def test_a_run_does_not_go_on_with_packed_rows(words: Callable[[Path], tuple[object, ...]], packed: Path) -> None:
    before = contents(packed)
    done = command(*words(packed))
    assert done.returncode == 2
    assert "per_image.csv.gz holds packed rows, which are only read; gunzip it to go on" in " ".join(
        done.stderr.split()
    )
    assert contents(packed) == before


def test_a_run_begun_afresh_leaves_no_packed_rows(settings: Config, packed: Path, plain: Path) -> None:
    run(settings, packed, fresh=True)
    assert not (packed / "per_image.csv.gz").exists()
    assert (packed / "per_image.csv").read_bytes() == (plain / "per_image.csv").read_bytes()


@pytest.mark.parametrize("damage", [lambda b: b[:-20], lambda b: b"rows" + b, lambda b: b[:40] + b"\xff" * 40 + b[80:]])
def test_damaged_packed_rows_are_told(damage: Callable[[bytes], bytes], packed: Path) -> None:
    rows = packed / "per_image.csv.gz"
    rows.write_bytes(damage(rows.read_bytes()))
    done = command("report", packed)
    assert done.returncode == 2
    assert "per_image.csv.gz cannot be unpacked: " in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_rows_beside_packed_ones_are_those_of_the_run(packed: Path, plain: Path) -> None:
    (packed / "per_image.csv").write_bytes((plain / "per_image.csv").read_bytes())
    (packed / "per_image.csv.gz").write_bytes(b"older")
    assert command("report", packed).returncode == 0
