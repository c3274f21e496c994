"""The run loop: batches of images through every method and metric, row by row into the run folder."""

import itertools
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import pandas as pd
from torch.utils.data import DataLoader

from reciprocam_bench.datasets.images import PreparedImage, PreparedImages, stretched_note
from reciprocam_bench.engine.data_state import state_of
from reciprocam_bench.engine.done import read_done
from reciprocam_bench.engine.experiment import Experiment
from reciprocam_bench.engine.judge import judge_batch
from reciprocam_bench.engine.plan import Work, images_in_order, pending_rows, rows_in_order, skipped_in_order
from reciprocam_bench.engine.progress import Progress
from reciprocam_bench.engine.run import Run
from reciprocam_bench.engine.status import notes_of, with_notes
from reciprocam_bench.engine.trials import left_out
from reciprocam_bench.errors import UserError
from reciprocam_bench.protocols.protocol import Protocol
from reciprocam_bench.runfolder.folder import RunFolder
from reciprocam_bench.runfolder.parts import Parts
from reciprocam_bench.runfolder.schema import ERROR, KEY, PENDING


def judge(run: Run, todo: list[Work]) -> None:
    """Judge the batches, and add their rows to the folder; in the end these stand as in a run made whole."""
    put_done(run)
    if todo:
        Parts(run.folder.path).clear()
        with progress_of(run, todo) as progress:
            loop = Loop(run, run.folder, progress)
            for _ in loop.judge(todo):
                pass
        loop.say_notes()
    put_in_order(run)


def put_done(run: Run) -> None:
    """Put what the start found into the folder's tables, parts among it."""
    run.folder.rows(list(run.done.rows.columns)).replace(run.done.rows)
    run.folder.skipped().replace(_left_out(run, run.done.skipped))
    run.folder.images().replace(images_in_order(run.experiment, run.done.images))


def put_in_order(run: Run) -> None:
    """Put the rows of the folder's tables in the order of a run made whole by one process."""
    done = read_done(run.experiment, run.folder, run.folder.record(), parts=False)
    run.folder.rows(list(done.rows.columns)).replace(rows_in_order(run.experiment, done.rows))
    skipped = run.folder.skipped()
    skipped.replace(skipped_in_order(run.experiment, done.skipped))
    run.folder.images().replace(images_in_order(run.experiment, done.images))
    if done.rows.empty:
        count = len(run.experiment.dataset.samples)
        raise UserError(f"none of the {count} images could be judged; {skipped.path} lists why")


def progress_of(run: Run, todo: list[Work]) -> Progress:
    """The bar of a run's images, once for each protocol."""
    total = len(run.experiment.protocols) * len(run.experiment.dataset.samples)
    return run.screen.progress(total, "images", "judging", total - sum(len(work.batch.samples) for work in todo))


def empty_tables(run: Run, into: RunFolder) -> None:
    """Make the tables of a part anew, without rows."""
    for table in (into.rows(list(run.done.rows.columns)), into.skipped(), into.images()):
        table.replace(pd.DataFrame(columns=table.columns, dtype=str))


class Loop:
    """Judges batches one after another into the tables of a folder: that of the run, or a part of it."""

    def __init__(self, run: Run, into: RunFolder, progress: Progress) -> None:
        self._run, self._progress, done = run, progress, run.done
        self._rows, self._skipped, self._images = into.rows(list(done.rows.columns)), into.skipped(), into.images()
        self._known, self._pending = set(done.images["image"]), pending_rows(done.rows)
        self._listed = set(zip(done.skipped["protocol"], done.skipped["image"], strict=True))
        self._stretched: dict[str, set[str]] = defaultdict(set)

    def judge(self, todo: Iterable[Work], take: Callable[[Work], bool] | None = None) -> Iterator[Work]:
        """Judge the batches that ``take`` takes shortly before their turn; each is told once its rows are on disk."""
        for work, found in _read(self._run, list(todo), take or (lambda work: True)):
            self._judge_batch(work, found)
            yield work

    def say_notes(self) -> None:
        """Say what was remarkable about the images."""
        for mode, ids in self._stretched.items():
            if mode:
                self._run.screen.say(f"note: {stretched_note(mode, len(ids))}")

    def _judge_batch(self, work: Work, found: list[PreparedImage | str]) -> None:
        samples, name = work.batch.samples, work.batch.protocol.name
        self._images.append([state_of(s) for s in samples if s.id not in self._known])
        self._known |= {s.id for s in samples}
        read = list(zip(samples, found, strict=True))
        unread = {s.id: r for s, r in read if isinstance(r, str) and (name, s.id) not in self._listed}
        self._skipped.append([{"protocol": name, "image": image, "reason": r} for image, r in unread.items()])
        good = [(s, r) for s, r in read if not isinstance(r, str)]
        for sample, image in good:
            self._stretched[image.stretched].add(sample.id)
        judged = judge_batch(self._run, work, good, self._progress)
        self._rows.append([_completed(row, self._pending, self._rows.columns) for row in judged])
        self._progress.advance(len(read) - len(good))


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


def _read(run: Run, todo: list[Work], take: Callable[[Work], bool]) -> Iterator[tuple[Work, list[PreparedImage | str]]]:
    """The batches that ``take`` takes, with their prepared images, or the reasons why they are none."""
    for protocol in run.experiment.protocols:
        mine = [work for work in todo if work.batch.protocol == protocol]
        taken: list[Work] = []
        read = iter(_loader(run.experiment, protocol, mine, _indices(mine, take, taken)))
        for number in itertools.count():
            with run.phases("read images"), _readers_that_end():
                found = next(read, None)
            if found is None:
                break
            yield taken[number], found


@contextmanager
def _readers_that_end() -> Iterator[None]:
    """Say in a line that a reading process was ended from outside."""
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker (pid"):  # what a worker itself raises begins otherwise
            raise
        raise UserError(
            "a process that reads images was ended from outside, for want of memory or of shared memory (/dev/shm) "
            "perhaps; set fewer workers (workers: 0 starts none), and run the same command again"
        ) from None


def _indices(todo: list[Work], take: Callable[[Work], bool], taken: list[Work]) -> Iterator[list[int]]:
    """The places that the images of each batch have among those of all, for batches that ``take`` takes."""
    place = 0
    for work in todo:
        places = list(range(place, place + len(work.batch.samples)))
        place += len(places)
        if take(work):
            taken.append(work)
            yield places


def _loader(experiment: Experiment, protocol: Protocol, todo: list[Work], indices: Iterable[list[int]]) -> DataLoader:
    """Reads the images at the indices; workers read ahead, into memory that a GPU copies by itself."""
    return DataLoader(
        PreparedImages([str(s.path) for work in todo for s in work.batch.samples], experiment.preparation(protocol)),
        batch_sampler=indices,
        num_workers=experiment.workers,
        collate_fn=list,
        pin_memory=experiment.backbone.device.type == "cuda",
        worker_init_fn=_without_last_words,
    )


def _without_last_words(worker: int) -> None:
    """A reading process that is left while it hands images over says nothing: the run tells why it stopped."""
    hook = sys.excepthook

    def unless_left(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
        if not issubclass(kind, (EOFError, ConnectionError)):
            hook(kind, error, at)

    sys.excepthook = unless_left
