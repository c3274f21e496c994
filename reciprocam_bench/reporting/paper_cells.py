"""The cells of a paper's table, ours beside the published ones: as one tidy table, and as the paper lays them out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import pandas as pd

from reciprocam_bench.protocols.papers import Named, Paper, PaperDataset, PaperMethod
from reciprocam_bench.protocols.published import printed
from reciprocam_bench.reporting.paper_runs import Beside, Runs

MISSING = "not measured"
_KEYS = ("dataset", "backbone")
_COLUMNS = (
    *("protocol", "dataset", "backbone", "method", "variant", "metric", "status", "ours", "low", "high"),
    *("images", "published", "images_published", "difference", "measured_by", "run"),
)


Row = dict[str, Any]


def cells(paper: Paper, runs: Runs) -> pd.DataFrame:
    """A row a protocol, data set, backbone, method and metric, in percent, in the paper's order.

    A method of which several of our variants may be the paper's has rows for each that was measured. ``difference`` is
    ours less the published value, ``measured_by`` says whose that is. Of several runs the one with most images stands.
    """
    table = printed(paper.name)
    found = []
    for protocol, dataset, backbone, method in product(
        protocols_of(paper, runs), paper.datasets, paper.backbones, paper.methods
    ):
        value = table[dataset.id, backbone.id, method.id]
        here = [r for r in runs.beside if (r.dataset, r.backbone) == (dataset.id, backbone.id)]
        fixed: Row = {"protocol": protocol, "dataset": dataset.id, "backbone": backbone.id, "method": method.id}
        fixed |= {"images_published": dataset.images, "measured_by": value.provenance}
        for variant, run, row in _measured(method, here, protocol):
            about = fixed | {"variant": variant, "run": str(run.record.path) if run else ""}
            found += [about | _cell(column.id, row, value.values[column.id]) for column in paper.columns]
    return pd.DataFrame(found, columns=list(_COLUMNS))


def protocols_of(paper: Paper, runs: Runs) -> list[str]:
    """The paper's protocols that runs hold; its first where none does."""
    return [p for p in paper.protocols if any(p in run.protocols for run in runs.beside)] or paper.protocols[:1]


def _measured(method: PaperMethod, here: Sequence[Beside], protocol: str) -> list[tuple[str, Beside | None, Row]]:
    """Each variant that runs hold, with its row of ``summary.csv``; one without a run where none do."""
    found: list[tuple[str, Beside | None, Row]] = []
    for variant in method.variants:
        rows = []
        for run in here:
            mine = run.summary[(run.summary["protocol"] == protocol) & (run.summary["method"] == run.title_of(variant))]
            if protocol in run.protocols and len(mine) and mine["images"].iloc[0]:
                rows.append((run, {str(key): value for key, value in mine.iloc[0].items()}))
        if rows:
            found.append((variant, *max(rows, key=lambda one: one[1]["images"])))
    return found or [("", None, {})]


def _cell(metric: str, row: Row, published: float) -> dict[str, Any]:
    ours = row.get(metric)
    if ours is None or pd.isna(ours):
        return {"metric": metric, "status": MISSING, "published": published}
    bounds = {"low": row[f"{metric}_low"], "high": row[f"{metric}_high"]}
    cell = {"metric": metric, "status": "measured", "ours": ours, **bounds, "images": int(row["images"])}
    return cell | {"published": published, "difference": ours - published}


@dataclass(frozen=True)
class LaidOut:
    """A table in the paper's layout; ``competing`` groups rows whose values compete, ``sources`` explain letters."""

    table: pd.DataFrame
    competing: pd.Series
    sources: list[str]


def laid_out(paper: Paper, part: pd.DataFrame) -> LaidOut:
    """Two lines a method, ours with its interval and the published value with our difference from it.

    Args:
        part: the cells of one protocol.
    """
    named: dict[str, Sequence[Named]] = {"dataset": paper.datasets, "backbone": paper.backbones}
    down = [key for key in _KEYS if key not in paper.across]
    shown = [key for key in down if len(named[key]) > 1]
    letters = {text: f"[{'abcdefghijklmnopqrstuvwxyz'[i]}]" for i, text in enumerate(part["measured_by"].unique())}
    lines, competing = [], []
    for group, of_group in part.groupby(down, sort=False) if down else [((), part)]:
        place = [_title(named[key], str(value)) for key, value in zip(down, group, strict=True) if key in shown]
        titles = {"backbone": ", ".join(place)} if place else {}
        for method in paper.methods:
            mine = of_group[of_group["method"] == method.id]
            for variant in _lines_of(mine):
                of_variant = mine[mine["variant"].isin([variant, ""])]
                name = method.title + (f" ({variant})" if variant and method.ours else "")
                for line in ("ours", "published"):
                    head = titles | {"method": name, "": line}
                    lines.append(head | _line(paper, of_variant, line, letters))
                    competing.append("/".join([*map(str, group), line]))
    return LaidOut(pd.DataFrame(lines), pd.Series(competing), [f"{letter} {text}" for text, letter in letters.items()])


def _lines_of(mine: pd.DataFrame) -> list[str]:
    """The variants that have lines of their own; a cell beside them that was not measured has none."""
    return [v for v in mine["variant"].unique() if v] or [""]


def _line(paper: Paper, cells: pd.DataFrame, line: str, letters: dict[str, str]) -> dict[str, str]:
    across = _across(paper)
    keys = [key for key, places in zip(("dataset", "backbone"), across, strict=True) if None not in places]
    at: dict[tuple[str, ...], Mapping[Any, Any]] = {}
    for cell in cells.to_dict("records"):
        at.setdefault((cell["metric"], *(cell[key] for key in keys)), cell)
    found = {}
    for *places, column in product(*across, paper.columns):
        named = [place for place in places if place is not None]
        here = at.get((column.id, *(place.id for place in named)))
        found[" ".join([*(place.title for place in named), column.heading])] = _text(here, line) if here else MISSING
    measured = cells["images"].dropna().astype(int)
    counts = " to ".join(dict.fromkeys(str(n) for n in (measured.min(), measured.max()))) if len(measured) else ""
    who = ", ".join(dict.fromkeys(letters[text] for text in cells["measured_by"]))
    return found | {"measured by": who if line == "published" else f"us, {counts} images" if counts else ""}


def _across(paper: Paper) -> tuple[Sequence[PaperDataset | None], Sequence[Named | None]]:
    """What lies side by side, in the table's order; one place without a name for what lies in the rows."""
    several = len(paper.datasets) > 1
    return (
        paper.datasets if "dataset" in paper.across and several else [None],
        paper.backbones if "backbone" in paper.across else [None],
    )


def _text(cell: Mapping[Any, Any], line: str) -> str:
    if line == "published":
        return f"{cell['published']:.2f}" + ("" if pd.isna(cell["ours"]) else f" ({cell['difference']:+.2f})")
    if pd.isna(cell["ours"]):
        return MISSING
    interval = "" if pd.isna(cell["low"]) else f" ({cell['low']:.2f} to {cell['high']:.2f})"
    return f"{cell['ours']:.2f}{interval}"


def _title(named: Sequence[Named], identity: str) -> str:
    return next(one.title for one in named if one.id == identity)
