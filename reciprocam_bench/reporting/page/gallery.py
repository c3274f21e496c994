"""The gallery: pictures, maps and scores of single images, as data that the page's script draws."""

import base64
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from reciprocam_bench.reporting.agreement import coarse
from reciprocam_bench.reporting.page.collect import Run
from reciprocam_bench.reporting.tables import digits_of
from reciprocam_bench.runfolder.raw_maps import DRAWN, PAGE, drawn_path, kept_maps, shown_maps, views
from reciprocam_bench.runfolder.schema import MetricDefinition
from reciprocam_bench.titles import with_arrow

MOST_IMAGES = 900  # of a run: a page must open at once
_MOST_PICTURES = 600  # of these
_FEW_METRICS = 6  # under a map; the one that images are ordered by comes to these
_MOST_VALUES = 150_000  # of a gallery
PICTURE_BYTES = 2_400_000  # of all galleries of a page
_SIDES = (160, 128, 96, 72)

Key = tuple[str, str, int]  # image, category, class
Entry = dict[str, Any]


def gallery(run: Run, protocol: str, budget: int = PICTURE_BYTES) -> dict[str, Any] | None:
    """All images under a protocol with what each method made of them; None where no map was judged.

    Beyond 900 the first 600 with pictures, and those where a map failed or is constant, or where the main metric is
    best, worst, or most disputed, stand for all.
    """
    rows = run.rows[run.rows["protocol"] == protocol] if len(run.rows) else run.rows
    if rows.empty:
        return None
    methods = [m.title for m in run.record.config.methods if m.title in set(rows["method"])]
    groups = {
        (str(image), str(category), int(str(index))): group
        for (image, category, index), group in rows.groupby(["image", "category", "class"], sort=False)
    }
    chosen = _chosen(groups, run, protocol)
    metrics = _single(run, max(_FEW_METRICS, _MOST_VALUES // (len(chosen) * len(methods))))
    few = _single(run, _FEW_METRICS)
    kept = _all_kept(run, protocol, methods)
    entries = [_entry(run, protocol, key, groups[key], methods, metrics, kept.get(key, {})) for key in chosen]
    _add_pictures(entries, [_picture_path(run, protocol, key) for key in chosen], budget)
    return {
        "name": f"{run.name}, {protocol}",
        "methods": methods,
        "metrics": [
            {
                "title": with_arrow(m.title, m.higher_is_better),
                "up": m.higher_is_better,
                "digits": digits_of(100 * rows[m.columns[0]]),
            }
            for m in metrics.values()
        ],
        "main": list(metrics).index(run.main_metric) if run.main_metric in metrics else 0,
        "few": [place for place, name in enumerate(metrics) if name in few],
        "total": len(groups),
        "images": entries,
    }


def _single(run: Run, most: int) -> dict[str, MetricDefinition]:
    """So many metrics of one value an image, the main one among them."""
    single = {name: m for name, m in run.metrics.items() if len(m.columns) == 1}
    order = sorted(single, key=lambda name: name != run.main_metric)[:most]
    return {name: single[name] for name in single if name in order}


def _chosen(groups: dict[Key, pd.DataFrame], run: Run, protocol: str) -> list[Key]:
    if len(groups) <= MOST_IMAGES:
        return list(groups)
    keep = [key for key in groups if _picture_path(run, protocol, key).exists()][:_MOST_PICTURES]
    few = (MOST_IMAGES - _MOST_PICTURES) // 4
    pictured = set(keep)
    rest = {key: group for key, group in groups.items() if key not in pictured}
    failed = [key for key, group in rest.items() if not group["status"].str.startswith(("ok", "constant")).all()]
    bad = [*failed, *(key for key, group in rest.items() if (group["status"] != "ok").any())][:few]
    column = next((m.columns[0] for name, m in _single(run, 1).items() if name == run.main_metric), None)
    extremes: list[Key] = []
    if column is not None and rest:
        of_image = pd.DataFrame({key: group[column].agg(["min", "max"]) for key, group in rest.items()}).T
        for values in (of_image["max"], -of_image["min"], of_image["max"] - of_image["min"]):
            extremes += list(values.sort_values(ascending=False).index[:few])
    wanted = set(list(dict.fromkeys([*keep, *bad, *extremes, *groups]))[:MOST_IMAGES])
    return [key for key in groups if key in wanted]


def _entry(
    run: Run,
    protocol: str,
    key: Key,
    group: pd.DataFrame,
    methods: list[str],
    metrics: dict[str, MetricDefinition],
    kept: dict[str, np.ndarray],
) -> Entry:
    image, category, index = key
    first, names = group.iloc[0], run.record.environment.class_names
    predicted, label = str(first["predicted"]), str(first["label"])
    by_method = {str(row["method"]): row for row in group.to_dict("records")}
    maps = {**kept, **shown_maps(run.record.path, protocol, image, index)}
    columns = [metric.columns[0] for metric in metrics.values()]
    return {
        "id": image,
        "class": _called(names, index) if category in ("", names.get(str(index))) else category,
        "output": _called(names, index) if category not in ("", names.get(str(index))) else "",
        "label": _called(names, label) if label not in ("", str(index)) else "",
        "predicted": _called(names, predicted) if predicted != str(index) else "",
        "p": None if pd.isna(first["probability"]) else round(float(first["probability"]), 3),
        "picture": None,
        "of": [_of_method(by_method.get(method), maps.get(method), columns) for method in methods],
    }


def _called(names: dict[str, str], index: int | str) -> str:
    """``tench (class 0)``, or the class alone where it has no name."""
    name = names.get(str(index))
    return f"{name} (class {index})" if name else f"class {index}"


def _of_method(row: dict | None, cam: np.ndarray | None, columns: list[str]) -> Entry | None:
    if row is None:
        return None
    values = [None if pd.isna(row[c]) else round(100 * float(row[c]), 4) for c in columns]
    return {"status": str(row["status"])[:200], "values": values, "map": None if cam is None else packed(cam)}


def packed(cam: np.ndarray) -> list[Any] | None:
    """Width, height and base64 bytes of a raw map ``(h, w)``, min-max normalised to 0 to 255, at most 16 cells a side.

    None for a map that is constant or not finite.
    """
    if cam.ndim != 2 or not cam.size or not np.isfinite(cam).all():
        return None
    cells = coarse(cam[None].astype(np.float64))[0]
    height, width = cells.shape
    low, high = cells.min(), cells.max()
    if high <= low:
        return None
    return [width, height, _text(np.round(255 * (cells - low) / (high - low)).astype(np.uint8).tobytes())]


def _all_kept(run: Run, protocol: str, methods: Iterable[str]) -> dict[Key, dict[str, np.ndarray]]:
    """The maps of ``save_maps``, by trial and method."""
    found: dict[Key, dict[str, np.ndarray]] = {}
    for view in views(run.record.path):
        for method in methods:
            for kept in kept_maps(view, method):
                if _prepared_alike(run, kept.protocol, protocol):
                    for trial, cam in zip(kept.trials, kept.maps, strict=True):
                        found.setdefault(trial, {})[method] = cam
    return found


def _prepared_alike(run: Run, first: str, other: str) -> bool:
    """Whether two protocols hand a network the same images, and so have the same maps."""
    known = run.record.definitions.protocols
    if first == other or run.record.config.preprocess == "model":
        return True
    made = [known[name].choices.get("preprocess") for name in (first, other) if name in known]
    return len(made) == 2 and made[0] is not None and made[0] == made[1]


def _picture_path(run: Run, protocol: str, key: Key) -> Path:
    """Where its picture is, or would be."""
    paths = [drawn_path(run.record.path, protocol, key[0], key[2], kind).with_suffix(".jpg") for kind in (DRAWN, PAGE)]
    return next((path for path in paths if path.exists()), paths[0])


def _add_pictures(entries: list[Entry], paths: list[Path], budget: int) -> None:
    """Put pictures into the entries, as large as all of them fit; at the smallest size as many as fit."""
    there = [(entry, path) for entry, path in zip(entries, paths, strict=True) if path.exists()]
    for side in _SIDES:
        made = list(_pictures([path for _, path in there], side))
        if sum(len(text or "") for text in made) <= budget or side == _SIDES[-1]:
            break
    left = budget
    for (entry, _), text in zip(there, made, strict=True):
        if text is not None and len(text) <= left:
            entry["picture"], left = text, left - len(text)


def _pictures(paths: list[Path], side: int) -> Iterator[str | None]:
    for path in paths:
        try:
            with Image.open(path) as opened:
                picture = opened.convert("RGB")
        except OSError:
            yield None
            continue
        picture.thumbnail((side, side))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=75)
        yield _text(buffer.getvalue())


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
