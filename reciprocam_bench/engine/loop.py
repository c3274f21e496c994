"""The run loop: batches of images through every method and metric, row by row into the run folder."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pandas as pd
from torch.utils.data import DataLoader

from reciprocam_bench.datasets.images import PreparedImage, PreparedImages, stretched_note
from reciprocam_bench.engine.data_state import state_of
from reciprocam_bench.engine.done import read_done
from reciprocam_bench.engine.experiment import Experiment
from reciprocam_bench.engine.judge import judge_batch
from reciprocam_bench.engine.plan import Batch, Work, pending_rows, rows_in_order, skipped_in_order
from reciprocam_bench.engine.run import Run
from reciprocam_bench.engine.status import notes_of, with_notes
from reciprocam_bench.engine.trials import left_out
from reciprocam_bench.errors import UserError
from reciprocam_bench.protocols.protocol import Protocol
from reciprocam_bench.runfolder.schema import ERROR, KEY, PENDING


def judge(run: Run, todo: list[Work]) -> None:
    """Judge the batches, and add their rows to the folder; in the end these stand as in a run made whole."""
    rows, skipped = run.folder.rows(list(run.done.rows.columns)), run.folder.skipped()
    rows.replace(run.done.rows)
    skipped.replace(_left_out(run, run.done.skipped))
    run.folder.images().replace(run.done.images)
    if todo:
        _judge(run, todo)
    done = read_done(run.experiment, run.folder, run.folder.record())
    rows.replace(rows_in_order(run.experiment, done.rows))
    skipped.replace(skipped_in_order(run.experiment, done.skipped))
    if done.rows.empty:
        count = len(run.experiment.dataset.samples)
        raise UserError(f"none of the {count} images could be judged; {skipped.path} lists why")


def _judge(run: Run, todo: list[Work]) -> None:
    rows, skipped, images = run.folder.rows(list(run.done.rows.columns)), run.folder.skipped(), run.folder.images()
    known, pending = set(run.done.images["image"]), pending_rows(run.done.rows)
    listed = set(zip(run.done.skipped["protocol"], run.done.skipped["image"], strict=True))
    total = len(run.experiment.protocols) * len(run.experiment.dataset.samples)
    left = sum(len(work.batch.samples) for work in todo)
    stretched: dict[str, set[str]] = defaultdict(set)
    with run.screen.progress(total, "images", "judging", total - left) as progress:
        for work, found in zip(todo, _read(run, todo), strict=True):
            samples, name = work.batch.samples, work.batch.protocol.name
            images.append([state_of(s) for s in samples if s.id not in known])
            known |= {s.id for s in samples}
            read = list(zip(samples, found, strict=True))
            unread = {s.id: r for s, r in read if isinstance(r, str) and (name, s.id) not in listed}
            skipped.append([{"protocol": name, "image": image, "reason": r} for image, r in unread.items()])
            good = [(s, r) for s, r in read if not isinstance(r, str)]
            for sample, image in good:
                stretched[image.stretched].add(sample.id)
            judged = judge_batch(run, work, good, progress)
            rows.append([_completed(row, pending, rows.columns) for row in judged])
            progress.advance(len(read) - len(good))
    for mode, ids in stretched.items():
        if mode:
            run.screen.say(f"note: {stretched_note(mode, len(ids))}")


def _completed(row: dict[str, Any], pending: dict[tuple, dict[str, str]], columns: list[str]) -> dict[str, Any]:
    """A row with the values that the folder has of it already; ``pending`` where a metric is no longer measured."""
    old = pending.get(tuple(row[k] for k in KEY))
    if old is None:
        return dict.fromkeys(columns, PENDING) | row
    if row["status"].startswith(ERROR):  # the map could not be made again, but what was measured of it stands
        status = with_notes(old["status"], [row["status"]])
    else:
        status = with_notes(row["status"], notes_of(old["status"]))
    return old | row | {"status": status}


def _left_out(run: Run, skipped: pd.DataFrame) -> pd.DataFrame:
    """What loading left out, in front of what could not be read under each protocol."""
    experiment = run.experiment
    reasons = list(experiment.dataset.skipped)
    for choice in experiment.classes.values():
        reasons += [r for r in left_out(choice, experiment.dataset) if r not in reasons]
    from_loading = pd.DataFrame(
        [("", image, reason) for image, reason in reasons], columns=list(skipped.columns), dtype=str
    )
    return pd.concat([from_loading, skipped[skipped["protocol"] != ""]], ignore_index=True)


def _read(run: Run, todo: list[Work]) -> Iterator[list[PreparedImage | str]]:
    """The prepared images of each batch, or the reasons why they are none."""
    for protocol in run.experiment.protocols:
        mine = [work.batch for work in todo if work.batch.protocol == protocol]
        batches_of_images = iter(_loader(run.experiment, protocol, mine))
        for _ in mine:
            with run.phases("read images"):
                found = next(batches_of_images)
            yield found


def _loader(experiment: Experiment, protocol: Protocol, batches: list[Batch]) -> DataLoader:
    """Reads the batches in order; workers read ahead, into memory that a GPU copies by itself."""
    paths = [str(s.path) for b in batches for s in b.samples]
    indices = iter(range(len(paths)))
    return DataLoader(
        PreparedImages(paths, experiment.preparation(protocol)),
        batch_sampler=[[next(indices) for _ in b.samples] for b in batches],
        num_workers=experiment.workers,
        collate_fn=list,
        pin_memory=experiment.backbone.device.type == "cuda",
    )
