"""Tables that grow while a run goes on."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from reciprocam_bench.runfolder.cells import marked
from reciprocam_bench.runfolder.disk import append, write_whole
from reciprocam_bench.runfolder.tables import to_csv

Row = Mapping[str, Any]


class GrowingTable:
    """A CSV file that grows by whole batches.

    A batch is one write, so after a kill the file ends in a whole batch or in a torn row, which reading leaves out and
    the next `replace` removes.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self.columns = list(columns)

    def replace(self, table: pd.DataFrame) -> None:
        """Put the rows of a table of text in place of the file's, whole or not at all; nothing is written if equal."""
        text = to_csv(table[self.columns])
        if not self.path.is_file() or self.path.read_bytes() != text.encode("utf-8", "surrogateescape"):
            write_whole(self.path, text)

    def append(self, rows: Sequence[Row]) -> None:
        """Add rows; they are on disk when this returns."""
        if rows:
            append(self.path, as_text(rows, self.columns))


def as_text(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Rows as lines of a CSV file without its heading."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writerows({name: cell(value) for name, value in row.items()} for row in rows)
    return buffer.getvalue()


def cell(value: Any) -> Any:
    """A value as it stands in a cell."""
    if not isinstance(value, float):
        return marked(value)
    # Seven digits are all that float32 holds; a value that is not defined leaves its cell empty.
    return "" if math.isnan(value) else f"{value:.7g}"
