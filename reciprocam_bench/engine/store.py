"""The run folder: rows that are on disk as soon as a batch is judged, and what a later start may keep of them."""

import csv
import io
import json
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reciprocam_bench.errors import UserError

Row = dict[str, Any]

_FILES = (
    "config.yaml",
    "environment.json",
    "per_image.csv",
    "summary.csv",
    "per_class.csv",
    "timing.csv",
    "skipped.csv",
    "summary.md",
)
_SKIPPED_COLUMNS = ("protocol", "image", "reason")


class RunFolder:
    """A folder that holds one run of one config."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, config: str, fingerprint: dict[str, Any], fresh: bool) -> None:
        """Begin a run, or continue the one that is there.

        Raises ``UserError`` if the folder holds something else: no run, a run of another config, or one begun with
        other versions or weights (its rows could not be put beside new ones).
        """
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is a file; give --output another name")
        if self.path.is_dir() and any(self.path.iterdir()) and not self._is_run():
            raise UserError(f"{self.path} holds files but no run; give --output another folder")
        if fresh and self._is_run():
            self._clear()
        elif self._is_run():
            self._check_same(config, fingerprint)
            if self.finished:
                return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.write("config.yaml", config)
            if not self.environment():
                self.write_environment({"fingerprint": fingerprint})
        except OSError as error:
            raise UserError(f"{self.path} cannot be written: {error.strerror}; give --output another folder") from None

    @property
    def finished(self) -> bool:
        """Whether a run came to its end here."""
        return "finished" in self.environment()

    def environment(self) -> dict[str, Any]:
        """The content of ``environment.json``, empty if it is not there or was cut off."""
        try:
            content = json.loads((self.path / "environment.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def write_environment(self, content: dict[str, Any]) -> None:
        """Replace ``environment.json``, whole or not at all."""
        self.write("environment.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def write(self, name: str, text: str) -> None:
        """Replace a file, whole or not at all."""
        partial = self.path / f".{name}.part"
        partial.write_text(text, encoding="utf-8")
        partial.replace(self.path / name)

    def _is_run(self) -> bool:
        # A config.yaml alone may be anybody's; what --fresh deletes must be ours.
        return (self.path / "config.yaml").is_file() and any(
            (self.path / name).is_file() for name in ("environment.json", "per_image.csv")
        )

    def _clear(self) -> None:
        for name in _FILES:
            (self.path / name).unlink(missing_ok=True)
        shutil.rmtree(self.path / "maps", ignore_errors=True)

    def _check_same(self, config: str, fingerprint: dict[str, Any]) -> None:
        if (self.path / "config.yaml").read_bytes() != config.encode():
            state = "a finished run" if self.finished else "an unfinished run"
            raise UserError(
                f"{self.path} holds {state} of another config; give --output another folder, or --fresh to replace it"
            )
        before = self.environment().get("fingerprint", fingerprint)
        changed = [key for key in fingerprint if before.get(key) != fingerprint[key]]
        if changed and not self.finished:
            what = ", ".join(f"{key} was {before.get(key)}, is {fingerprint[key]}" for key in changed[:2])
            raise UserError(f"{self.path} holds an unfinished run begun under other conditions ({what}); use --fresh")


class Rows:
    """A CSV file that grows by whole batches.

    A batch is one write, so after a kill the file ends in a whole batch or in a torn one; `keep` cuts the latter off.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self._columns = list(columns)

    def read(self) -> list[dict[str, str]]:
        """All complete rows; a last line without its end is dropped."""
        try:
            text = self.path.read_text(encoding="utf-8", errors="surrogateescape")
        except FileNotFoundError:
            return []
        rows = list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))
        return [row for row in rows if None not in row.values() and None not in row]

    def keep(self, rows: list[dict[str, str]]) -> None:
        """Replace the file by its heading and these rows."""
        partial = self.path.with_suffix(".part")
        partial.write_text(self._text(rows, heading=True), encoding="utf-8", errors="surrogateescape")
        partial.replace(self.path)

    def append(self, rows: list[Row]) -> None:
        """Add rows; they are on disk when this returns."""
        if rows:
            with self.path.open("a", encoding="utf-8", errors="surrogateescape") as file:
                file.write(self._text(rows))
                file.flush()
                os.fsync(file.fileno())

    def _text(self, rows: Sequence[Row], heading: bool = False) -> str:
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, self._columns, lineterminator="\n")
        if heading:
            writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
        return buffer.getvalue()


def skipped_rows(folder: Path) -> Rows:
    """``skipped.csv``: what was left out, under which protocol (empty for all), and why."""
    return Rows(folder / "skipped.csv", _SKIPPED_COLUMNS)


def _cell(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    # Seven digits are all that float32 holds; a value that is not defined leaves its cell empty.
    return "" if math.isnan(value) else f"{value:.7g}"
