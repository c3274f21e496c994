"""Whether the images and annotations on disk are still those that a run folder's rows were made of."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from reciprocam_bench.datasets.dataset import Dataset, Sample


def state_of(sample: Sample) -> dict[str, Any]:
    """A row of ``images.csv``: size, time of change, digest of the file, and digest of what is annotated."""
    size, modified = _size_and_time(sample.path)
    return {
        "image": sample.id,
        "bytes": size,
        "modified": modified,
        "sha256": _digest(sample.path),
        "truth": truth_of(sample),
    }


def truth_of(sample: Sample) -> str:
    """A digest of an image's label and targets."""
    return hashlib.sha256(repr((sample.label, sample.targets)).encode()).hexdigest()[:16]


def what_changed(recorded: pd.DataFrame, dataset: Dataset, *, gaps: bool = False) -> str | None:
    """How the data differs from the recorded images in one clause; None where they are the same.

    The shorter of the two lists must be the beginning of the longer one, which `limit` sees to. A file whose size or
    time of change differs is read: a copy with the same content is the same image. With ``gaps`` the recorded images
    are any of the data set's, in any order, as several processes leave them that were stopped.
    """
    samples = dataset.samples
    if gaps:
        places = {sample.id: place for place, sample in enumerate(samples)}
        recorded = recorded.sort_values("image", key=lambda ids: ids.map(places), kind="stable")
        judged = set(recorded["image"])
        samples = [sample for sample in samples if sample.id in judged]
    pairs = list(zip(recorded.to_dict("records"), samples, strict=False))
    before, now = [row["image"] for row, _ in pairs], [sample.id for _, sample in pairs]
    if len(recorded) > dataset.chosen:
        gone = next(image for image in recorded["image"] if image not in {s.id for s in dataset.samples})
        return f"the data set no longer holds an image that the run had ({gone})"
    if before != now:
        return _other_images(recorded, dataset, before, now)
    files = [sample.id for row, sample in pairs if not _same_file(row, sample.path)]
    truths = [sample.id for row, sample in pairs if row["truth"] != truth_of(sample)]
    for what, ids in (("files", files), ("annotations", truths)):
        if ids:
            return f"the {what} of {len(ids)} of its {len(pairs)} images changed ({ids[0]} first)"
    return None


def _other_images(recorded: pd.DataFrame, dataset: Dataset, before: list[str], now: list[str]) -> str:
    # With a limit, the images that a new one pushes out are not gone, so the first difference is what can be told.
    place = next(i for i, (a, b) in enumerate(zip(before, now, strict=True)) if a != b)
    present = {s.id for s in dataset.samples}
    if before[place] not in present and dataset.beyond_limit:
        return f"its first images are others ({now[place]} where {before[place]} was): files or labels changed"
    if now[place] not in set(recorded["image"]):
        return f"the data set holds an image that the run did not have ({now[place]})"
    if before[place] not in present:
        return f"the data set no longer holds an image that the run had ({before[place]})"
    return f"the data set's images are in another order ({now[place]} where {before[place]} was)"


def _same_file(row: Mapping[Any, Any], path: Path) -> bool:
    size, modified = _size_and_time(path)
    if (str(size), str(modified)) == (row["bytes"], row["modified"]):
        return True
    return str(size) == row["bytes"] and _digest(path) == row["sha256"]


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    except OSError:
        return ""
