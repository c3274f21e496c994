"""A run folder as the process that makes it sees it."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from reciprocam_bench.errors import UserError
from reciprocam_bench.runfolder.disk import check_kind, remove, write_whole
from reciprocam_bench.runfolder.lock import held, is_of_the_lock
from reciprocam_bench.runfolder.parts import PARTS, Parts
from reciprocam_bench.runfolder.record import RunRecord, read_record
from reciprocam_bench.runfolder.rows import GrowingTable
from reciprocam_bench.runfolder.schema import (
    CONFIG,
    ENVIRONMENT,
    FILES,
    FOLDERS,
    FORMAT,
    IMAGES,
    IMAGES_COLUMNS,
    PACKED_ROWS,
    PER_IMAGE,
    SKIPPED,
    SKIPPED_COLUMNS,
)
from reciprocam_bench.runfolder.tables import to_csv

# Stands in a folder while ``--fresh`` empties it: a kill in the middle leaves files that no longer look like a run.
_EMPTYING = ".fresh"


class RunFolder:
    """A folder that holds one run, for the one process that has it open."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def record(self) -> RunRecord | None:
        """The run that is there, None where none was begun. A damaged one is a ``UserError``."""
        if not (self.path / CONFIG).exists():
            return None
        self._check_kinds()
        record = read_record(self.path)
        check_unpacked(record)
        found = record.environment.format
        if found < FORMAT and (self.path / ENVIRONMENT).exists():
            raise UserError(
                f"{self.path} holds a run of format {found}, which can be reported but not continued; "
                "give --output another folder, or --fresh to replace it"
            )
        return record

    def _check_kinds(self) -> None:
        cure = "move it away, and run again"
        for name in FILES:
            check_kind(self.path / name, cure)
        for name in (*FOLDERS, PARTS):
            if (self.path / name).exists() and not (self.path / name).is_dir():
                raise UserError(f"{self.path / name} is a file, where a folder should be; {cure}")

    def begin(self, config: str, environment: Mapping[str, Any]) -> None:
        """Write what makes the folder a run, or a run of another config."""
        self.write_environment(environment)
        self.write_config(config)

    def write_config(self, config: str) -> None:
        """Replace ``config.yaml``, if it differs."""
        if not self.holds(config):
            write_whole(self.path / CONFIG, config)

    def holds(self, config: str) -> bool:
        """Whether the run in the folder has exactly this config."""
        path = self.path / CONFIG
        return path.is_file() and path.read_bytes() == config.encode()

    def remove(self, *names: str) -> None:
        """Remove tables that no longer are what the config asks for."""
        for name in names:
            remove(self.path / name)

    def write_environment(self, content: Mapping[str, Any]) -> None:
        """Replace ``environment.json``."""
        text = json.dumps({"format": FORMAT, **content}, indent=2, ensure_ascii=False, default=str)
        write_whole(self.path / ENVIRONMENT, text + "\n")

    def classes(self) -> list[int]:
        """The classes that rows speak of: explained, predicted or labelled."""
        named = ["class", "predicted", "label"]
        rows = pd.read_csv(self.path / PER_IMAGE, usecols=named, dtype=str, keep_default_na=False)
        return sorted({int(index) for name in named for index in rows[name].unique() if index})

    def write_table(self, name: str, table: pd.DataFrame, digits: str) -> None:
        """Replace one of the tables that are made whole."""
        write_whole(self.path / name, to_csv(table, digits))

    def rows(self, columns: list[str]) -> GrowingTable:
        """``per_image.csv``."""
        return GrowingTable(self.path / PER_IMAGE, columns)

    def skipped(self) -> GrowingTable:
        """``skipped.csv``: what was left out, under which protocol (empty for all), and why."""
        return GrowingTable(self.path / SKIPPED, SKIPPED_COLUMNS)

    def images(self) -> GrowingTable:
        """``images.csv``: the files that were judged, and a digest of what is annotated in each."""
        return GrowingTable(self.path / IMAGES, IMAGES_COLUMNS)


@contextmanager
def opened(path: Path, fresh: bool, processes: int = 1) -> Iterator[RunFolder]:
    """Hold a folder for a run, made if it is not there; with ``fresh`` the run in it is removed.

    One of several ``processes`` of a launch gets it in turn with the others.

    Raises ``UserError`` for a folder that holds something else, cannot be written, or is held by another process.
    """
    if path.exists() and not path.is_dir():
        raise UserError(f"{path} is a file; give --output another name")
    if path.is_dir() and not (_is_empty(path) or _is_run(path)):
        raise UserError(f"{path} holds files but no run; give --output another folder")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}; give --output another folder") from None
    with held(path, processes):
        if processes == 1:
            Parts(path).check_unused()
        if fresh or (path / _EMPTYING).exists():
            clear(path)
        yield RunFolder(path)


def check_unpacked(record: RunRecord) -> None:
    """Refuse to go on with packed rows: new ones would stand in another file."""
    if record.rows_path.name == PACKED_ROWS:
        raise UserError(f"{record.rows_path} holds packed rows, which are only read; gunzip it to go on")


def _is_empty(path: Path) -> bool:
    return all(is_of_the_lock(p.name) for p in path.iterdir())


def _is_run(path: Path) -> bool:
    if (path / _EMPTYING).exists():
        return True
    # A config.yaml alone may be anybody's; what --fresh deletes must be ours.
    if (path / CONFIG).exists():
        return any((path / name).exists() for name in (ENVIRONMENT, PER_IMAGE))
    # A kill can come between the first file and the second.
    others = [p.name for p in path.iterdir() if not is_of_the_lock(p.name)]
    return others == [ENVIRONMENT] and b'"fingerprint"' in (path / ENVIRONMENT).read_bytes()


def clear(path: Path) -> None:
    """Remove all that a run writes, and nothing else. Raises ``UserError`` where that cannot be."""
    try:
        (path / _EMPTYING).touch()
        for name in (*FILES, *FOLDERS, PARTS, _EMPTYING):
            place = path / name
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
            else:
                place.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be emptied: {error.strerror}; make it writable and run again") from None
