"""A run folder as readers see it."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pydantic import ValidationError

from reciprocam_bench.config import Config, parse_config
from reciprocam_bench.errors import UserError
from reciprocam_bench.runfolder import format1
from reciprocam_bench.runfolder.disk import read_text
from reciprocam_bench.runfolder.schema import (
    CONFIG,
    ENDS,
    ENVIRONMENT,
    ERROR,
    FIXED,
    FORMAT,
    FORWARD,
    IMAGES,
    IMAGES_COLUMNS,
    PACKED_ROWS,
    PENDING,
    PER_IMAGE,
    SCOPES,
    SKIPPED,
    SKIPPED_COLUMNS,
    SUMMARY,
    SUMMARY_NUMBERS,
    SUMMARY_TEXT,
    TIMING,
    TIMING_ROUNDS,
    VERSION,
    Definitions,
    Environment,
    MetricDefinition,
)
from reciprocam_bench.runfolder.tables import check_columns, is_whole, line_of, numbers, one_of, read_table
from reciprocam_bench.yaml_file import read_yaml

_CURE = "restore the file, or run with --fresh"
ROWS_CURE = "correct it, or delete the file and run again to have its rows made anew"
_TABLE_CURE = "delete the file and run again, which makes it anew from the rows"
_TIME_CURE = "delete the file and run again, which times anew"

# A stored config holds every key, this one last; keys have defaults, so that the end is missed where it is not there.
_LAST_KEY = "seed"
_DIGEST = re.compile("[0-9a-f]*")
_SUMMARY_NEEDED = ("backbone", "dataset", "protocol", "method", "images", "constant", "nan", "errors", "top1")
_ROUNDS_NUMBERS = ("batch_size", "process", "block", "round", "wall_ms", "device_ms")
_TIMING_TEXT = ("backbone", "method", "implementation", "scope", "relative_to", "status")
_TIMING_NUMBERS = (
    *("batch_size", "repeats", "median_ms", "q25_ms", "q75_ms", "device_median_ms", "images_per_s"),
    *("speedup", "speedup_low", "speedup_high", "peak_memory_mb"),
)
_TIMING_NEEDED = (*_TIMING_TEXT[:-1], *_TIMING_NUMBERS)  # format 1 had no status
_TIMING_LATER = ("blocks", "forwards", "forwards_low", "forwards_high")


@dataclass(frozen=True)
class RunRecord:
    """The config, the facts and the definitions of a run folder; its tables are read when they are asked for."""

    path: Path
    config: Config
    environment: Environment
    definitions: Definitions

    @property
    def dataset(self) -> str:
        """The data set's own name, with its split."""
        return self.environment.dataset or self.config.dataset.name

    @property
    def rows_path(self) -> Path:
        """``per_image.csv``; ``per_image.csv.gz`` where only that is there."""
        plain, packed = self.path / PER_IMAGE, self.path / PACKED_ROWS
        return packed if packed.exists() and not plain.exists() else plain

    @property
    def judged(self) -> bool:
        """Whether it holds rows."""
        return self.rows_path.exists()

    def rows(self) -> pd.DataFrame:
        """``per_image.csv`` with metrics as numbers: the rows that the config asks for, in their order on disk."""
        try:
            table = read_table(self.rows_path, ROWS_CURE, grows=self._grows, values=["probability", *self.columns])
        except FileNotFoundError:
            raise UserError(f"{self.path} has no {PER_IMAGE} yet; run it first") from None
        return self._asked_for(self.checked(table))

    def checked(self, table: pd.DataFrame) -> pd.DataFrame:
        """Rows of ``per_image.csv`` with values as numbers; what does not belong there is a ``UserError``.

        A run that is not finished may lack columns of metrics that joined it: their values are pending.
        """
        path, columns, table = self.rows_path, self.columns, self.stamped(table)
        for name in columns if self._grows else ():
            if name not in table:
                table = table.assign(**{name: PENDING})
        check_columns(path, table, [*FIXED, *columns], {*FIXED, *columns}.__contains__, ROWS_CURE)
        one_of(path, table, "difficult", ("", "0", "1").__contains__, ROWS_CURE)
        one_of(path, table, "status", _is_status, ROWS_CURE)
        one_of(path, table, "protocol", self.definitions.protocols.__contains__, ROWS_CURE)
        self._check_versions(path, table, ROWS_CURE)
        one_of(path, table, "method", self.definitions.methods.__contains__, ROWS_CURE)
        for name in ("label", "predicted", "class"):
            one_of(path, table, name, is_whole, ROWS_CURE)
        return numbers(path, table, ["probability", *columns], ROWS_CURE)

    def stamped(self, table: pd.DataFrame) -> pd.DataFrame:
        """Rows with the version of their protocol; a folder older than that column says it in its definitions."""
        if VERSION in table or "protocol" not in table:
            return table
        versions = {name: str(protocol.version) for name, protocol in self.definitions.protocols.items()}
        table = table.copy(deep=False)
        table.insert(list(table.columns).index("protocol") + 1, VERSION, table["protocol"].map(versions).fillna(""))
        return table

    def _check_versions(self, path: Path, table: pd.DataFrame, cure: str) -> None:
        for name, protocol in self.definitions.protocols.items():
            other = (table["protocol"] == name) & (table[VERSION].astype(str) != str(protocol.version))
            if other.any():
                row = other.tolist().index(True)
                found = str(table[VERSION].iloc[row])[:60]
                raise UserError(
                    f"{path}, line {line_of(path, row)}: a row of version {found!r} of {name} in a run of version "
                    f"{protocol.version}; rows of different versions are not joined; {cure}"
                )

    @property
    def _grows(self) -> bool:
        return self.environment.finished is None

    @property
    def metrics(self) -> dict[str, MetricDefinition]:
        """The metrics that the run asks for now; rows may hold values of others, which were not made to the end."""
        known = self.definitions.metrics
        return {name: known[name] for name in self.environment.metrics or known if name in known}

    @property
    def columns(self) -> list[str]:
        """The columns of all its metrics in ``per_image.csv``."""
        return [c for m in self.definitions.metrics.values() for c in m.columns]

    def summary(self) -> pd.DataFrame | None:
        """``summary.csv``, None where there is none; a damaged one is a ``UserError``."""
        known = [c for m in self.definitions.metrics for subset in ("", "_difficult") for c in self._summed(m, subset)]
        table = self._made(SUMMARY, _SUMMARY_NEEDED, SUMMARY_TEXT, [*SUMMARY_NUMBERS, *known])
        if table is None:
            return None
        path = self.path / SUMMARY
        table = numbers(path, self.stamped(table), [VERSION], _TABLE_CURE)
        self._check_versions(path, table, _TABLE_CURE)
        shown = [m for m in self.metrics if m in table or not self._grows]
        check_columns(path, table, [c for m in shown for c in self._summed(m)], lambda name: True, _TABLE_CURE)
        if not self._grows:
            self._check_whole(path, table)
        return table

    def timing(self) -> pd.DataFrame | None:
        """``timing.csv``, None where there is none; a damaged one is a ``UserError``."""
        known = [*_TIMING_NUMBERS, *_TIMING_LATER]
        return self._timed(TIMING, self._made(TIMING, _TIMING_NEEDED, _TIMING_TEXT, known, _TIME_CURE))

    def timing_rounds(self) -> pd.DataFrame | None:
        """``timing_rounds.csv``, None where there is none; a damaged one is a ``UserError``."""
        needed = ("method", "scope", *_ROUNDS_NUMBERS)
        made = self._made(TIMING_ROUNDS, needed, needed[:2], _ROUNDS_NUMBERS, _TIME_CURE)
        table = self._timed(TIMING_ROUNDS, made)
        impossible = [] if table is None else (~(table["wall_ms"] > 0)).tolist()
        if any(impossible):
            place = f"{self.path / TIMING_ROUNDS}, line {line_of(self.path / TIMING_ROUNDS, impossible.index(True))}"
            raise UserError(f"{place}: 'wall_ms' is no time of a call; {_TIME_CURE}")
        return table

    def skipped(self) -> pd.DataFrame:
        """``skipped.csv``: what was left out, under which protocol, and why; empty where there is none."""
        try:
            table = read_table(self.path / SKIPPED, ROWS_CURE, grows=True)
        except FileNotFoundError:
            table = pd.DataFrame()
        return table if len(table.columns) else pd.DataFrame(columns=list(SKIPPED_COLUMNS))

    def unread(self) -> int:
        """How many images were to be judged and could not be, under a protocol that the config names."""
        table = self.skipped()
        under = table["protocol"] if "protocol" in table else pd.Series(dtype=str)
        return int(table.loc[under.isin(self.config.named_protocols), "image"].nunique()) if len(under) else 0

    def _timed(self, name: str, table: pd.DataFrame | None) -> pd.DataFrame | None:
        if table is None:
            return None
        one_of(self.path / name, table, "scope", SCOPES.__contains__, _TIME_CURE)
        if self.config.timing:
            titles = {FORWARD, *(m.title for m in self.config.timing.methods or ())} | self.definitions.methods.keys()
            one_of(self.path / name, table, "method", titles.__contains__, _TIME_CURE)
        return table

    def _summed(self, metric: str, subset: str = "") -> list[str]:
        """The columns of a metric in ``summary.csv``."""
        ends = ("", *ENDS, "_mean") if self.definitions.metrics[metric].terms else ("", *ENDS)
        return [f"{metric}{subset}{end}" for end in ends]

    def _made(
        self, name: str, needed: Sequence[str], text: Sequence[str], values: Sequence[str], cure: str = _TABLE_CURE
    ) -> pd.DataFrame | None:
        """A table that is made whole, of known columns."""
        path = self.path / name
        try:
            table = read_table(path, cure)
        except FileNotFoundError:
            return None
        check_columns(path, table, needed, {*text, *values}.__contains__, cure)
        return numbers(path, table, [c for c in table.columns if c not in text], cure)

    def _check_whole(self, path: Path, summary: pd.DataFrame) -> None:
        there = set(zip(summary["protocol"], summary["method"], strict=True))
        for protocol in self.config.named_protocols:
            for method in self.config.methods:
                if (protocol, method.title) not in there:
                    raise UserError(
                        f"{path}, line {len(summary) + 1}: no row of '{method.title}' under {protocol} "
                        f"follows; {_TABLE_CURE}"
                    )

    def _asked_for(self, table: pd.DataFrame) -> pd.DataFrame:
        titles = [m.title for m in self.config.methods]
        wanted = table["protocol"].isin(self.config.named_protocols) & table["method"].isin(titles)
        images = read_images(self.path)["image"]
        if len(images):
            one_of(self.rows_path, table, "image", set(images).__contains__, ROWS_CURE)
            wanted &= table["image"].isin(set(images[: self.config.limit]))
        return table[wanted]


def read_record(folder: Path) -> RunRecord:
    """Read a run folder; one that is none, or is damaged, is a ``UserError``."""
    path = folder / CONFIG
    if not path.exists():
        raise UserError(f"{folder} is not a run folder: it has no {CONFIG}; give the folder that a run was written to")
    config = _read_config(path)
    environment = read_environment(folder) or Environment()
    return RunRecord(folder, config, environment, environment.definitions or format1.definitions(config))


def _read_config(path: Path) -> Config:
    text = read_text(path, _CURE)
    cut = f"{path}, line {text.count(chr(10)) + 1}: the file is empty or cut off"
    if not text.endswith("\n"):
        raise UserError(f"{cut}; {_CURE}")
    try:
        content = read_yaml(path)
        config = parse_config(content, str(path))
        if _LAST_KEY not in content:
            raise UserError(f"{cut}: '{_LAST_KEY}', its last key, is missing")
        return config
    except UserError as error:
        raise UserError(f"{error}; {_CURE}") from None
    except RecursionError:
        raise UserError(f"{path}: not readable as YAML: it is nested too deeply; {_CURE}") from None


def read_environment(folder: Path) -> Environment | None:
    """``environment.json``, None where there is none; ``UserError`` for a damaged one, or one of a later format."""
    path = folder / ENVIRONMENT
    try:
        content = json.loads(read_text(path, _CURE))
    except FileNotFoundError:
        return None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {error.lineno}: not readable as JSON: {error.msg}; {_CURE}") from None
    except (RecursionError, ValueError):
        raise UserError(f"{path}, line 1: not readable as JSON: too deep, or a number too long; {_CURE}") from None
    try:
        environment = Environment.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "its content"
        reason = str(first["ctx"]["error"]) if first["type"] == "value_error" else first["msg"]
        raise UserError(f"{path}, line {_line_of(path, first['loc'])}: {place}: {reason[:160]}; {_CURE}") from None
    if environment.format > FORMAT:
        raise UserError(f"{folder} is of format {environment.format}, made by a newer rcam-bench; update this one")
    return environment


def read_images(folder: Path) -> pd.DataFrame:
    """``images.csv``: the images judged so far, in the order of the data set; empty where there is none."""
    path = folder / IMAGES
    try:
        table = read_table(path, ROWS_CURE, grows=True)
    except FileNotFoundError:
        table = pd.DataFrame()
    if not len(table.columns):
        return pd.DataFrame(columns=list(IMAGES_COLUMNS), dtype=str)
    check_columns(path, table, IMAGES_COLUMNS, IMAGES_COLUMNS.__contains__, ROWS_CURE)
    for name in ("bytes", "modified"):
        one_of(path, table, name, is_whole, ROWS_CURE)
    for name in ("sha256", "truth"):
        one_of(path, table, name, _DIGEST.fullmatch, ROWS_CURE)
    return table


def _is_status(text: str) -> bool:
    return text.partition(";")[0] in ("ok", "constant", "nan") or text.startswith(f"{ERROR}:")


def _line_of(path: Path, place: tuple[int | str, ...]) -> int:
    """The line of the first key of a place that stands in the file, or the first line."""
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    keys = [f'"{part}"' for part in place if isinstance(part, str)]
    return next((n for key in reversed(keys) for n, line in enumerate(lines, 1) if key in line), 1)
