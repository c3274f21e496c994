"""One run by several processes, which talk to each other through the run folder alone.

All make the same plan. Each takes batches that nobody has, in the plan's order, and writes their rows into a part of
its own; so the fast ones take more, and nobody waits for one that stops. The first to see that all is done joins the
parts, as a later start does with those of a launch that was stopped.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from reciprocam_bench.engine import steps
from reciprocam_bench.engine.experiment import Experiment
from reciprocam_bench.engine.loop import Loop, empty_tables, progress_of, put_done
from reciprocam_bench.engine.phases import Phases
from reciprocam_bench.engine.plan import Work, plan
from reciprocam_bench.engine.progress import Progress
from reciprocam_bench.engine.ranks import Rank
from reciprocam_bench.engine.resume import check_conditions
from reciprocam_bench.engine.run import Run, Screen, open_run, started
from reciprocam_bench.engine.steps import Summarise
from reciprocam_bench.engine.timing import is_timed
from reciprocam_bench.errors import UserError
from reciprocam_bench.runfolder.claims import Claims
from reciprocam_bench.runfolder.folder import RunFolder, opened
from reciprocam_bench.runfolder.parts import Parts, in_use, write_seconds
from reciprocam_bench.runfolder.record import read_environment

_LOOK_AGAIN, _LATE = 0.2, 60.0  # seconds


def together(
    experiment: Experiment, path: Path, rank: Rank, screen: Screen, summarise: Summarise, alone: Callable[[], None]
) -> None:
    """Do this process's share of a run. Where there is none to share, the first process does the rest ``alone``."""
    if not rank.leads:
        screen = _quiet(screen, rank)
    timing = experiment.config.timing is not None
    with ExitStack() as stack:
        with opened(path, fresh=False, processes=rank.count) as folder:
            parts = Parts(path)
            ranks, todo, run = enter(experiment, folder, rank, screen, stack, talks=rank.leads)
            experiment = run.experiment  # with numbers where the config says auto
            share = share_of(run, parts, stack) if todo else None
        if share is not None:
            judge_share(run, todo, *share)
            with open_run(experiment, path, False, screen, rank.count, known=True) as whole:
                if parts.folders():
                    steps.make_tables(whole, plan(experiment, whole.done), summarise)
                    whole.record(finished=not timing)
        if not rank.leads:
            ranks.give_back(rank.number)
            if timing:
                _wait_for_times(path, ranks)
            return
        while timing and not all(map(ranks.is_free, range(1, rank.count))):
            time.sleep(_LOOK_AGAIN)
        if share is None:
            alone()
            parts.remove()
            return
        with open_run(experiment, path, False, screen, rank.count, known=True) as whole:
            steps.finish(whole, not timing or is_timed(whole))
            parts.remove()


def _quiet(screen: Screen, rank: Rank) -> Screen:
    """The screen of a process that has no bar, and says whose lines these are."""
    about = f"process {rank.number} of {rank.count}"
    return replace(screen, quiet=True, say=lambda line: screen.say(f"{about}: {line}"))


def enter(
    experiment: Experiment, folder: RunFolder, rank: Rank, screen: Screen, stack: ExitStack, *, talks: bool
) -> tuple[Claims, list[Work], Run]:
    """Begin the launch, or join those of it that are there; the plan is the same for all."""
    parts = Parts(folder.path)
    ranks = stack.enter_context(parts.ranks()) if parts.begun else None
    first = ranks is None or not ranks.others()
    if not first and parts.processes != rank.count:
        raise in_use(folder.path, parts.processes)
    run = started(experiment, folder, screen, rank.count, parts=first)
    experiment = run.experiment
    todo = plan(experiment, run.done)
    if todo and talks:
        steps.introduce(run, todo)
    if todo and first:
        steps.begin(run)
        put_done(run)
        parts.begin(rank.count)
    elif todo:
        if not folder.holds(experiment.config_text):
            raise UserError(f"{folder.path} is in use by a launch of another config; give --output another folder")
        check_conditions(experiment, run.before)  # its rows will stand among those of the one that came first
    if ranks is None:
        ranks = stack.enter_context(parts.ranks())
    if not ranks.take(rank.number):
        raise in_use(folder.path, parts.processes)
    return ranks, todo, replace(run, phases=Phases({}, run.experiment.backbone.device))


def share_of(run: Run, parts: Parts, stack: ExitStack) -> tuple[RunFolder, Claims]:
    """A part with tables of its own, and who has which batch.

    To be called while the folder is held: a process that sees all done clears the parts, also those of one that comes
    too late. That one has what it needs by then, takes nothing, and writes nothing.
    """
    part = RunFolder(parts.add())
    empty_tables(run, part)
    return part, stack.enter_context(parts.batches())


def judge_share(run: Run, todo: list[Work], part: RunFolder, batches: Claims, mine: list[Work] | None = None) -> None:
    """Judge batches of a plan that nobody has into a part, until none are left; or those that are ``mine`` alone."""
    with progress_of(run, todo) as progress:
        share, loop = Share(todo, batches, progress), Loop(run, part, progress)

        def finish(work: Work) -> None:
            # Before: when the last batch is done another process may join and remove the parts at once.
            write_seconds(part.path, run.phases.seconds)
            share.finish(work)

        for work in loop.judge(todo if mine is None else mine, share.take):
            finish(work)
        for left in share.left() if mine is None else ():
            for work in loop.judge([left]):
                finish(work)
    loop.say_notes()


class Share:
    """The batches of a plan as one of several processes takes them; the bar moves with those of others too."""

    def __init__(self, todo: list[Work], batches: Claims, progress: Progress) -> None:
        self._todo, self._batches, self._progress = todo, batches, progress
        self._places = {_key(work): place for place, work in enumerate(todo)}
        self._counted: set[int] = set()

    def take(self, work: Work) -> bool:
        """Have a batch that nobody has."""
        self._count_others()
        return self._batches.take(self._places[_key(work)])

    def finish(self, work: Work) -> None:
        """Tell that the rows of a batch are on disk."""
        place = self._places[_key(work)]
        self._counted.add(place)
        self._batches.finish(place)

    def left(self) -> Iterator[Work]:
        """The batches that others took and gave back without an end; it ends when all are done."""
        while len(done := self._count_others()) < len(self._todo):
            place = next((i for i in range(len(self._todo)) if i not in done and self._batches.take(i)), None)
            if place is None:
                time.sleep(_LOOK_AGAIN)
            else:
                yield self._todo[place]

    def _count_others(self) -> set[int]:
        done = self._batches.done()
        self._progress.advance(sum(len(self._todo[i].batch.samples) for i in done - self._counted))
        self._counted |= done
        return done


def _key(work: Work) -> tuple[str, int]:
    return work.batch.protocol.name, work.batch.first


def _wait_for_times(path: Path, ranks: Claims) -> None:
    """Be idle while the first process times, so that its times are those of an idle machine, also in a suite."""
    seen, begun = False, time.monotonic()
    while True:
        environment = read_environment(path)
        there = not ranks.is_free(0)
        seen |= there
        if (environment and environment.finished) or (not there and (seen or time.monotonic() - begun > _LATE)):
            return
        time.sleep(_LOOK_AGAIN)
