"""A whole run from config to rows: what ``rcam-bench run`` and ``rcam-bench time`` do."""

from collections.abc import Callable
from pathlib import Path

from reciprocam_bench.config import Config
from reciprocam_bench.engine.against_float32 import compare_with_float32
from reciprocam_bench.engine.allocator import keep_freed_memory
from reciprocam_bench.engine.drawing import is_drawn
from reciprocam_bench.engine.experiment import Experiment, set_up
from reciprocam_bench.engine.forecast import forecast
from reciprocam_bench.engine.loop import judge
from reciprocam_bench.engine.plan import plan
from reciprocam_bench.engine.resume import check_conditions
from reciprocam_bench.engine.run import Run, Screen, open_run
from reciprocam_bench.engine.timing import is_timed, time_experiment
from reciprocam_bench.errors import UserError
from reciprocam_bench.runfolder.schema import SUMMARY, TIMING, TIMING_ROUNDS


def complete(config: Config, path: Path, *, fresh: bool, screen: Screen, summarise: Callable[[Path], None]) -> None:
    """Judge, summarise and time what the run folder does not hold yet; a run that is whole is only shown.

    ``summarise`` makes the tables of the folder's rows, as soon as these are whole.
    """
    keep_freed_memory()
    with open_run(set_up(config), path, fresh, screen) as run:
        experiment = run.experiment
        todo = plan(experiment, run.done)
        timed = config.timing is None or is_timed(run)
        if run.before and run.before.environment.finished and not todo and timed:
            _show(run, summarise)
            return
        check_conditions(experiment, run.before)
        _introduce(experiment, screen)
        if not timed:
            run.folder.remove(TIMING, TIMING_ROUNDS)
        run.begin()
        compare_with_float32(run)
        if not screen.quiet and (todo or not timed):
            screen.say(forecast(run, todo, timed))
        with run.recorded():
            judge(run, todo)
            summarise(path)
            _draw(run)
            if not timed:
                _time(run)
        run.record(finished=True)
        screen.say(f"written to {path}")


def only_time(config: Config, path: Path, *, fresh: bool, screen: Screen) -> None:
    """Time the methods into the run folder, anew each time."""
    keep_freed_memory()
    if config.timing is None:
        raise UserError("the config has no 'timing:' part; add one, for example --set timing.repeats=10")
    with open_run(set_up(config), path, fresh, screen) as run:
        experiment = run.experiment
        whole = run.before is not None and run.before.environment.finished is not None
        finished = whole and not plan(experiment, run.done)
        _introduce(experiment, screen)
        run.folder.remove(TIMING, TIMING_ROUNDS)
        run.begin()
        compare_with_float32(run)
        _time(run)
        run.record(finished=finished)
        screen.say(f"written to {path}")


def _show(run: Run, summarise: Callable[[Path], None]) -> None:
    """Say that all is there; a config that asks for less than before gets tables of its own."""
    path = run.folder.path
    judge(run, [])  # a table that an editor or a kill left in disorder is put in order
    asks_the_same = run.folder.holds(run.experiment.config_text)
    if not asks_the_same:
        run.begin()
        run.record(finished=True)
    if not asks_the_same or not (path / SUMMARY).is_file():
        summarise(path)
    if not asks_the_same or (run.experiment.drawn and not is_drawn(path)):
        _draw(run)
    run.screen.say(f"{path} holds this run, finished; --fresh runs it anew")


def _draw(run: Run) -> None:
    if not run.experiment.drawn:
        return
    from reciprocam_bench.engine.sheets import draw_sheets  # here, as matplotlib would be half a second of each start

    with run.phases("pictures"):
        draw_sheets(run)


def _time(run: Run) -> None:
    with run.phases("timing"):
        timing = time_experiment(run.experiment, run.screen)
    run.machine.update(timing.machine)
    run.folder.write_table(TIMING_ROUNDS, timing.rounds, "%.6g")
    run.folder.write_table(TIMING, timing.table, "%.6g")


def _introduce(experiment: Experiment, screen: Screen) -> None:
    b = experiment.backbone
    head = "pooled linear head" if b.linear is not None else "other head"
    c, h, w = b.feature_shape
    screen.say(f"{b.name} ({b.weights.get('source', 'own weights')}) on {b.device}")
    screen.say(
        f"layer {b.layer} ({b.split} split), {c} maps of {h}x{w}, {head}; {b.folded_batch_norms} batch norms folded"
    )
    data = experiment.dataset
    of = f" of {data.total}" if data.total > len(data.samples) else ""
    screen.say(f"{len(data.samples)}{of} images of {data.name}, {len(data.skipped)} left out")
