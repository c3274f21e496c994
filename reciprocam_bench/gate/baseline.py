"""The file that a run is checked against: what it must hold, of which run it was made, and the rows for pairing."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from reciprocam_bench.config import parse_config
from reciprocam_bench.errors import UserError
from reciprocam_bench.runfolder.disk import read_text, write_into
from reciprocam_bench.runfolder.record import RunRecord
from reciprocam_bench.runfolder.schema import IMAGES_COLUMNS, Environment

# 1: DESIGN of today.
FORMAT = 1

_CURE = "correct it, or make it anew with --update"
_Text = Annotated[str, Field(min_length=1)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, lt=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Pair(_Part):
    """How many times faster ``method`` is than ``over``; ``over: forward`` is the network alone."""

    method: _Text
    over: _Text
    scope: Literal["end-to-end", "explainer"]
    batch_size: Annotated[int, Field(ge=1)]

    def __str__(self) -> str:
        return f"{self.method} over {self.over}, {self.scope}, batch {self.batch_size}"


class Ratio(Pair):
    """A pair with its ratio and 95 % interval when the baseline was made; ``tolerance`` and ``floor`` are shares.

    A loss fails whose whole interval lies beyond the tolerance and that exceeds the floor itself.
    """

    value: _Positive
    low: _Positive | None = None
    high: _Positive | None = None
    tolerance: _Share = 0.05
    floor: _Share = 0.10

    @property
    def pair(self) -> Pair:
        """What is measured, without what it was."""
        return Pair(**{name: getattr(self, name) for name in Pair.model_fields})


class Value(_Part):
    """A metric of a method under a protocol, in percent; ``tolerance`` is in percentage points."""

    protocol: _Text
    method: _Text
    metric: _Text
    value: Annotated[float, Field(allow_inf_nan=False)]
    images: Annotated[int, Field(ge=1)]
    tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.5

    @property
    def key(self) -> tuple[str, str, str]:
        """What is measured, without what it was."""
        return (self.protocol, self.method, self.metric)

    def __str__(self) -> str:
        return f"{self.metric} of {self.method} ({self.protocol})"


class Table(_Part):
    """A table as JSON: its columns, and one list of cells a row."""

    columns: list[str]
    data: list[list[Any]]

    @model_validator(mode="after")
    def _even(self) -> Self:
        wrong = next((n for n, row in enumerate(self.data, 1) if len(row) != len(self.columns)), None)
        if wrong:
            raise ValueError(f"row {wrong} has {len(self.data[wrong - 1])} cells, not {len(self.columns)}")
        return self

    def frame(self) -> pd.DataFrame:
        """The same as a frame."""
        return pd.DataFrame(self.data, columns=self.columns)

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Self:
        """A frame of text and numbers; missing ones become null."""
        data = [[None if pd.isna(cell) else cell for cell in row] for row in frame.astype(object).to_numpy().tolist()]
        return cls(columns=list(frame.columns), data=data)


class Baseline(_Part):
    """The content of a baseline file.

    ``config`` and ``environment`` are those of the run it was made of; ``rows`` its rows of ``per_image.csv``, null
    where there were too many; ``pictures`` its ``images.csv``.
    """

    format: Annotated[int, Field(ge=1)]
    ratios: list[Ratio]
    metrics: list[Value]
    config: dict[str, Any]
    environment: Environment
    rows: Table | None = None
    pictures: Table = Table(columns=list(IMAGES_COLUMNS), data=[])

    @model_validator(mode="after")
    def _of_something(self) -> Self:
        if not self.ratios and not self.metrics:
            raise ValueError("there are neither ratios nor metrics to check")
        for name, keys in (("ratios", [str(r) for r in self.ratios]), ("metrics", [str(v) for v in self.metrics])):
            if twice := next((key for key in keys if keys.count(key) > 1), None):
                raise ValueError(f"{name}: '{twice}' is there twice")
        return self

    def record(self, path: Path) -> RunRecord:
        """The run it was made of, as readers see one, without tables; ``path`` is the baseline's."""
        config = parse_config(self.config, f"{path}: config")
        definitions = self.environment.definitions
        if definitions is None:
            raise UserError(f"{path}: environment: the definitions are missing; {_CURE}")
        return RunRecord(path, config, self.environment, definitions)


def read_baseline(path: Path) -> Baseline:
    """Read a baseline; ``UserError`` for an absent or damaged one, or one of a later format."""
    try:
        content = json.loads(read_text(path, _CURE))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; --update writes a baseline there") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {error.lineno}: not readable as JSON: {error.msg}; {_CURE}") from None
    except (RecursionError, ValueError):
        raise UserError(f"{path}: not readable as JSON: too deep, or a number too long; {_CURE}") from None
    found = content.get("format") if isinstance(content, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise UserError(f"{path} is of format {found}, made by a newer rcam-bench; update this one")
    try:
        return Baseline.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "its content"
        reason = str(first["ctx"]["error"]) if first["type"] == "value_error" else first["msg"]
        raise UserError(f"{path}: {place}: {reason[:160]}; {_CURE}") from None


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write it, tables with a row a line, so that a change of it can be read."""
    tables = ("rows", "pictures")
    parts = [
        f"  {json.dumps(key)}: {_rows(value) if key in tables and value else _indented(value)}"
        for key, value in baseline.model_dump(mode="json").items()
    ]
    write_into(path.parent, path.name, "{\n" + ",\n".join(parts) + "\n}\n", "give --against another file")


def _indented(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\n  ")


def _rows(table: dict[str, Sequence]) -> str:
    columns = json.dumps(table["columns"], ensure_ascii=False)
    return f'{{\n    "columns": {columns},\n    "data": [{_lines(table["data"])}]\n  }}'


def _lines(rows: Iterable[Sequence]) -> str:
    lines = ",\n".join(f"      {json.dumps(row, ensure_ascii=False)}" for row in rows)
    return f"\n{lines}\n    " if lines else ""
