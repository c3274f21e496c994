"""What a run folder holds already, as the start that opened it sees it."""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from reciprocam_bench.engine.experiment import Experiment
from reciprocam_bench.errors import UserError
from reciprocam_bench.runfolder.folder import RunFolder
from reciprocam_bench.runfolder.parts import Parts
from reciprocam_bench.runfolder.record import ROWS_CURE, RunRecord, read_images
from reciprocam_bench.runfolder.schema import FIXED, PENDING, PER_IMAGE, SKIPPED, SKIPPED_COLUMNS
from reciprocam_bench.runfolder.tables import check_columns, line_of, one_of, read_table


@dataclass(frozen=True)
class Done:
    """Tables of text: the rows, with the columns of all metrics of before and now; what was skipped; the images."""

    rows: pd.DataFrame
    skipped: pd.DataFrame
    images: pd.DataFrame


def read_done(experiment: Experiment, folder: RunFolder, before: RunRecord | None, *, parts: bool = True) -> Done:
    """Read and check the tables that grow; empty ones where no run was begun. Damage is a ``UserError``.

    Rows in ``parts/`` that processes of a launch made and that nobody has joined yet are read too, unless ``parts`` is
    False.
    """
    done = _read_folder(experiment, folder.path, before)
    if before and parts:
        for part in Parts(folder.path).folders():
            done = _joined(done, _read_folder(experiment, part, replace(before, path=part)))
    return done


def _joined(done: Done, part: Done) -> Done:
    """Both; a batch that was judged twice, because a process did not come to its end with it, may stand in both."""
    skipped = pd.concat([done.skipped, part.skipped], ignore_index=True)
    skipped = skipped[~(skipped.duplicated(["protocol", "image"]) & (skipped["protocol"] != ""))]
    images = pd.concat([done.images, part.images], ignore_index=True).drop_duplicates("image")
    return Done(pd.concat([done.rows, part.rows], ignore_index=True).fillna(PENDING), skipped, images)


def _read_folder(experiment: Experiment, folder: Path, before: RunRecord | None) -> Done:
    images = read_images(folder)
    known = {"", *images["image"], *(s.id for s in experiment.dataset.samples)}
    rows = _read(folder, PER_IMAGE) if before else pd.DataFrame()
    if before and len(rows.columns):
        rows = before.stamped(rows)
        before.checked(rows)
        one_of(folder / PER_IMAGE, rows, "image", known.__contains__, ROWS_CURE)
        _check_categories(folder / PER_IMAGE, rows, experiment)
    columns = [*FIXED, *(c for m in experiment.metrics.values() for c in m.columns)]
    columns += [name for name in rows.columns if name not in columns]
    # A metric that joined the run has no values in the rows that are there.
    rows = pd.DataFrame({c: rows[c] if c in rows else pd.Series(PENDING, rows.index) for c in columns}, dtype=str)
    skipped = _read(folder, SKIPPED) if before else pd.DataFrame()
    if before and len(skipped.columns):
        path, protocols = folder / SKIPPED, {"", *before.definitions.protocols}
        check_columns(path, skipped, SKIPPED_COLUMNS, SKIPPED_COLUMNS.__contains__, ROWS_CURE)
        one_of(path, skipped, "protocol", protocols.__contains__, ROWS_CURE)
        unread = skipped["image"].where(skipped["protocol"] != "", "")
        one_of(path, skipped.assign(image=unread), "image", known.__contains__, ROWS_CURE)
    else:
        skipped = pd.DataFrame(columns=list(SKIPPED_COLUMNS), dtype=str)
    return Done(rows, skipped, images)


def _check_categories(path: Path, rows: pd.DataFrame, experiment: Experiment) -> None:
    """Refuse a category that is not annotated in its image."""
    annotated = {s.id: {"", *(t.category for t in s.targets)} for s in experiment.dataset.samples}
    pairs = list(zip(rows["image"], rows["category"], strict=True))
    for image, category in dict.fromkeys(pairs):
        if category not in annotated.get(image, {category}):
            line = line_of(path, pairs.index((image, category)))
            raise UserError(f"{path}, line {line}: {image} shows no {category[:60]!r}; {ROWS_CURE}")


def _read(folder: Path, name: str) -> pd.DataFrame:
    try:
        return read_table(folder / name, ROWS_CURE, grows=True)
    except FileNotFoundError:
        return pd.DataFrame()
