"""``agreement.csv`` and its text: how alike the maps of a run's methods are."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from reciprocam_bench.errors import UserError
from reciprocam_bench.reporting.summary import doubts_of, unfinished
from reciprocam_bench.reporting.text import as_text, check_format
from reciprocam_bench.runfolder.disk import write_into
from reciprocam_bench.runfolder.raw_maps import MOST_CELLS, Trial, kept_maps, shown_maps, views
from reciprocam_bench.runfolder.record import RunRecord, read_record
from reciprocam_bench.runfolder.schema import AGREEMENT
from reciprocam_bench.runfolder.tables import to_csv

Maps = Mapping[Trial, np.ndarray]


def agree(folder: Path, form: str, output: Path | None = None, width: int = 100) -> str:
    """Write ``agreement.csv`` into ``output``, or the run folder, and return it as text in a format of `report`.

    Raises ``UserError`` for another format, and where the folder keeps no maps of two methods.
    """
    check_format(form)
    record = read_record(folder)
    table = agreement(record)
    text = to_csv(table, "%.6g")
    write_into(output or folder, AGREEMENT, text)
    if form == "csv":
        return text
    return "\n".join(_text(record, part, form, width) for _, part in table.groupby("protocol", sort=False))


def agreement(record: RunRecord) -> pd.DataFrame:
    """A row a view and pair of methods: the mean Spearman correlation of their raw maps over images, 95 % interval.

    Trials of an image are averaged first. Maps of two sizes are compared on the coarser grid, where the finer one is
    averaged. A trial is left out where a map is constant or not finite, or one of the methods has none. Without
    ``save_maps`` the images that a page shows stand for all, each map averaged to at most 16 cells a side.
    """
    titles, rows = [method.title for method in record.config.methods], []
    for protocols, maps in _maps_of(record, titles):
        fixed = {"backbone": record.config.backbone.model, "dataset": record.dataset, "protocol": protocols}
        for first, second in combinations(maps, 2):
            trials = maps[first].keys() | maps[second].keys()
            values = _by_image(maps[first], maps[second])
            counts = {"images": len(values), "left_out": len({image for image, _, _ in trials}) - len(values)}
            rows.append({**fixed, "method": second, "against": first, **counts, **_estimate(values)})
    if not rows:
        raise UserError(
            f"{record.path} keeps no raw maps of two methods; run two with --fresh --set maps=1 (of 600 images) or "
            "--set save_maps=true (of all)"
        )
    return pd.DataFrame(rows)


def _maps_of(record: RunRecord, titles: Sequence[str]) -> Iterator[tuple[str, dict[str, Maps]]]:
    """The protocols of each view, and the maps of each method that has some."""
    kept = views(record.path)
    for view in kept:
        yield _read(view, titles)
    if kept or not record.judged:
        return
    for protocol, rows in record.rows().groupby("protocol", sort=False):
        found: dict[str, dict[Trial, np.ndarray]] = {}
        trials = rows[["image", "category", "class"]].drop_duplicates()
        for trial in ((str(image), str(category), int(index)) for image, category, index in trials.to_numpy()):
            for title, cam in shown_maps(record.path, str(protocol), trial[0], trial[2]).items():
                found.setdefault(title, {})[trial] = coarse(cam[None])[0]
        yield str(protocol), {title: found[title] for title in titles if title in found}


def _read(view: Path, titles: Sequence[str]) -> tuple[str, dict[str, Maps]]:
    """The protocols that maps say they were made under, and the maps of each method that has some."""
    protocols: dict[str, None] = {}
    found: dict[str, dict[Trial, np.ndarray]] = {}
    for title in titles:
        for kept in kept_maps(view, title):
            protocols[kept.protocol] = None
            found.setdefault(title, {}).update(zip(kept.trials, kept.maps, strict=True))
    return ", ".join(protocols), dict(found.items())


def _by_image(first: Maps, second: Maps) -> list[float]:
    """The correlation of each image's maps that both methods have, in the order of the images."""
    by_size: dict[tuple, list[Trial]] = defaultdict(list)
    for trial in sorted(first.keys() & second.keys()):
        by_size[(first[trial].shape, second[trial].shape)].append(trial)
    values: dict[str, list[float]] = defaultdict(list)
    for trials in by_size.values():
        pairs = [np.stack([maps[trial] for trial in trials]) for maps in (first, second)]
        for (image, _, _), value in zip(trials, _spearman(*pairs), strict=True):
            if not np.isnan(value):
                values[image].append(float(value))
    return [float(np.mean(values[image])) for image in sorted(values)]


def _spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The rank correlation of maps ``(N, h, w)``, ``(N,)``; NaN where one is constant or not finite."""
    height, width = (min(sides) for sides in zip(a.shape[1:], b.shape[1:], strict=True))
    with np.errstate(invalid="ignore"):
        ranks = [pd.DataFrame(on_grid(m, height, width).reshape(len(m), -1)).rank(axis=1).to_numpy() for m in (a, b)]
        x, y = (r - r.mean(axis=1, keepdims=True) for r in ranks)
        found = (x * y).sum(axis=1) / np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    whole = np.isfinite(a).all(axis=(1, 2)) & np.isfinite(b).all(axis=(1, 2))
    return np.where(whole, found, np.nan)


def on_grid(maps: np.ndarray, height: int, width: int) -> np.ndarray:
    """Maps ``(N, h, w)`` averaged over the cells of a grid no finer than they are, ``(N, height, width)``."""
    flat = maps.max(axis=(1, 2)) == maps.min(axis=(1, 2))  # means of equal values may differ in their last digits
    value = maps[:, :1, :1]
    for axis, cells in ((1, height), (2, width)):
        size = maps.shape[axis]
        if size != cells:
            spans = (slice(i * size // cells, -(-(i + 1) * size // cells)) for i in range(cells))
            maps = np.stack([maps[(slice(None),) * axis + (s,)].mean(axis=axis) for s in spans], axis=axis)
    return np.where(flat[:, None, None], value, maps)


def coarse(maps: np.ndarray) -> np.ndarray:
    """Maps ``(N, h, w)`` with at most 16 cells a side."""
    return on_grid(maps, *(min(side, MOST_CELLS) for side in maps.shape[1:]))


def _estimate(values: list[float]) -> dict[str, float | None]:
    """Mean and t-interval over images."""
    from scipy.special import stdtrit  # here, as the reports that need no such quantile load no scipy

    if not values:
        return {"correlation": None, "low": None, "high": None}
    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return {"correlation": mean, "low": None, "high": None}
    half = float(stdtrit(count - 1, 0.975)) * float(np.std(values, ddof=1)) / count**0.5
    return {"correlation": mean, "low": max(-1.0, mean - half), "high": min(1.0, mean + half)}


def _text(record: RunRecord, part: pd.DataFrame, form: str, width: int) -> str:
    images = sorted({int(n) for n in part["images"]})
    counted = f"{images[0]} images" if len(images) == 1 else f"{images[0]} to {images[-1]} images"
    title = (
        f"{part['backbone'].iloc[0]} on {part['dataset'].iloc[0]}, mean rank correlation of maps with 95 % interval "
        f"(protocol {part['protocol'].iloc[0]}, {counted}){unfinished([record])}"
    )
    doubts = doubts_of(record, record.rows())
    return as_text(pd.DataFrame(_matrix(part)), title, doubts, form, width, "agreement")


def _matrix(part: pd.DataFrame) -> Iterator[dict[str, str]]:
    """The lower half of the table of methods by methods."""
    cells = {(row.method, row.against): row for row in part.itertuples()}
    columns = list(dict.fromkeys(part["against"]))
    for method in dict.fromkeys(part["method"]):
        found = {name: cells.get((method, name)) for name in columns}
        yield {"method": method} | {name: "" if cell is None else _cell(cell) for name, cell in found.items()}


def _cell(row: object) -> str:
    value, low, high = (getattr(row, name) for name in ("correlation", "low", "high"))
    if pd.isna(value):
        return ""
    return f"{value:.2f}" if pd.isna(low) else f"{value:.2f} ({low:.2f} to {high:.2f})"
