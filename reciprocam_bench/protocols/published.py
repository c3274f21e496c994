"""The values that papers printed, by protocol, data set, backbone and method."""

import csv
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
    """What the protocol's paper printed, by (backbone, method); nothing for a protocol of no paper."""
    text = (files("reciprocam_bench.protocols") / "published.csv").read_text(encoding="utf-8")
    table = {}
    for row in csv.DictReader(text.splitlines()):
        if row.pop("protocol") == protocol and row.pop("dataset") == dataset:
            key = row.pop("backbone"), row.pop("method")
            provenance = row.pop("provenance")
            table[key] = Published({name: float(value) for name, value in row.items() if value}, provenance)
    return table
