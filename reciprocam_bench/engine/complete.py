"""A whole run from config to rows: what ``rcam-bench run`` and ``rcam-bench time`` do."""

from pathlib import Path

from reciprocam_bench.config import Config
from reciprocam_bench.engine import steps
from reciprocam_bench.engine.against_float32 import compare_with_float32
from reciprocam_bench.engine.allocator import keep_freed_memory
from reciprocam_bench.engine.drawing import is_drawn
from reciprocam_bench.engine.environment import kept_threads
from reciprocam_bench.engine.experiment import set_up
from reciprocam_bench.engine.plan import plan
from reciprocam_bench.engine.ranks import Rank, this_rank
from reciprocam_bench.engine.resume import changed_conditions, check_conditions
from reciprocam_bench.engine.run import Run, Screen, open_run
from reciprocam_bench.engine.shards import complete_shard
from reciprocam_bench.engine.steps import Summarise
from reciprocam_bench.engine.timing import is_timed
from reciprocam_bench.engine.together import together
from reciprocam_bench.errors import UserError
from reciprocam_bench.runfolder.parts import Parts
from reciprocam_bench.runfolder.schema import PACKED_ROWS, PER_IMAGE, SUMMARY, TIMING, TIMING_ROUNDS


def complete(
    config: Config, path: Path, *, fresh: bool, screen: Screen, summarise: Summarise, shard: Rank | None = None
) -> None:
    """Judge, summarise and time what the run folder does not hold yet; a run that is whole is only shown.

    ``summarise`` makes the tables of the folder's rows, as soon as these are whole. With a ``shard`` only its batches
    are judged.
    """
    keep_freed_memory()
    rank = this_rank()
    if shard and rank.count > 1:
        raise UserError("--shard is for processes that no launcher started; leave it out, or start without torchrun")
    if fresh and (rank.count > 1 or shard):
        raise UserError("--fresh would remove what other processes have done; give --output another folder instead")
    experiment = set_up(config, None if fresh else kept_threads(path))

    def alone() -> None:
        with open_run(experiment, path, fresh, screen, rank.count) as run:
            _complete(run, summarise)
            if rank.count == 1:
                Parts(path).remove()

    if shard and shard.count > 1:
        complete_shard(experiment, path, shard, screen, summarise)
    elif rank.count == 1:
        alone()
    else:
        together(experiment, path, rank, screen, summarise, alone)


def _complete(run: Run, summarise: Summarise) -> None:
    todo = plan(run.experiment, run.done)
    timed = run.experiment.config.timing is None or is_timed(run)
    if run.before and run.before.environment.finished and not todo and timed:
        _show(run, summarise)
        return
    steps.introduce(run, todo)
    steps.begin(run)
    steps.make_tables(run, todo, summarise)
    steps.finish(run, timed)


def only_time(config: Config, path: Path, *, fresh: bool, screen: Screen, summarise: Summarise) -> None:
    """Time the methods into the run folder, anew each time; of several processes the first alone does.

    Where the folder holds rows, under the conditions that these were made under.
    """
    keep_freed_memory()
    if config.timing is None:
        raise UserError("the config has no 'timing:' part; add one, for example --set timing.repeats=10")
    if not this_rank().leads:
        return
    holds_rows = any((path / name).is_file() for name in (PER_IMAGE, PACKED_ROWS))
    threads = kept_threads(path) if holds_rows and not fresh else None
    with open_run(set_up(config, threads), path, fresh, screen) as run:
        experiment = run.experiment
        judged = run.before is not None and run.before.judged
        check_conditions(experiment, run.before if judged else None)
        whole = run.before is not None and run.before.environment.finished is not None
        finished = whole and not plan(experiment, run.done)
        steps.describe(experiment, screen)
        run.folder.remove(TIMING, TIMING_ROUNDS)
        asks_the_same = run.folder.holds(experiment.config_text)
        run.begin()
        compare_with_float32(run)
        steps.time(run)
        run.record(finished=finished)
        if judged and not asks_the_same:
            summarise(path)
        screen.say(f"written to {path}")


def _show(run: Run, summarise: Summarise) -> None:
    """Say that all is there; a config that asks for less than before gets tables of its own.

    Nothing is computed, so the record keeps the conditions under which all was.
    """
    path = run.folder.path
    steps.judge(run, [])  # a table that an editor or a kill left in disorder is put in order
    asks_the_same = run.folder.holds(run.experiment.config_text)
    other = changed_conditions(run.experiment, run.before)
    if not asks_the_same:
        run.begin(as_before=True)
        run.record(finished=True, as_before=True)
    if not asks_the_same or not (path / SUMMARY).is_file():
        summarise(path)
    if not asks_the_same or (run.experiment.drawn and not is_drawn(path)):
        steps.draw(run)
    made = f", made under other conditions ({other})" if other else ""
    run.screen.say(f"{path} holds this run, finished{made}; --fresh runs it anew")
