"""The values that papers printed, each once: in ``published.csv``, by paper, data set, backbone and method.

``protocol`` is the one they were measured under, empty where it is not known: a paper may print what it copied from
another one.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Published:
    """Values a paper printed for one backbone and method, in percent, and who measured them."""

    values: dict[str, float]
    provenance: str


@cache
def published(protocol: str, dataset: str) -> dict[tuple[str, str], Published]:
    """What was printed under a protocol, or by the paper of its name, by (backbone, method); else nothing."""
    table = {}
    for row in _rows():
        if row["dataset"] == dataset and protocol in (row["protocol"], row["paper"]):
            found = _published(row)
            if row["protocol"] != protocol:
                found = Published(found.values, f"{found.provenance}: another protocol")
            table[row["backbone"], row["method"]] = found
    return table


@cache
def printed(paper: str) -> dict[tuple[str, str, str], Published]:
    """What a paper printed, by (data set, backbone, method)."""
    return {(r["dataset"], r["backbone"], r["method"]): _published(r) for r in _rows() if r["paper"] == paper}


def _rows() -> Iterator[dict[str, str]]:
    text = (files("reciprocam_bench.protocols") / "published.csv").read_text(encoding="utf-8")
    yield from csv.DictReader(text.splitlines())


def _published(row: dict[str, str]) -> Published:
    fixed = ("paper", "protocol", "dataset", "backbone", "method", "provenance")
    values = {name: float(value) for name, value in row.items() if value and name not in fixed}
    return Published(values, row["provenance"])
