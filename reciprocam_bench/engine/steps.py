"""The steps of a run, one after another: begin, judge and make the tables, time."""

from collections.abc import Callable, Sequence
from pathlib import Path

from reciprocam_bench.engine.against_float32 import compare_with_float32
from reciprocam_bench.engine.experiment import Experiment
from reciprocam_bench.engine.forecast import forecast
from reciprocam_bench.engine.loop import judge
from reciprocam_bench.engine.plan import Work
from reciprocam_bench.engine.resume import check_conditions
from reciprocam_bench.engine.run import Run, Screen
from reciprocam_bench.engine.timing import is_timed, time_experiment
from reciprocam_bench.runfolder.parts import Parts
from reciprocam_bench.runfolder.schema import TIMING, TIMING_ROUNDS

Summarise = Callable[[Path], None]


def begin(run: Run) -> None:
    """Make the folder a run of the config; ``UserError`` where rows cannot be added to those that it holds."""
    check_conditions(run.experiment, run.before)
    if run.experiment.config.timing is not None and not is_timed(run):
        run.folder.remove(TIMING, TIMING_ROUNDS)  # before the config asks for others: these would pass for them
    run.begin()
    compare_with_float32(run)


def introduce(run: Run, todo: list[Work]) -> None:
    """Say what is run, on what, and for about how long; ``UserError`` as in `begin`."""
    check_conditions(run.experiment, run.before)
    describe(run.experiment, run.screen)
    times = run.experiment.config.timing is not None and not is_timed(run)
    if not run.screen.quiet and (todo or times):
        run.screen.say(forecast(run, todo, not times))


def make_tables(run: Run, todo: list[Work], summarise: Summarise) -> None:
    """Judge what is left, and make what is made of rows."""
    with run.recorded():
        put_together(run, summarise, todo)
    Parts(run.folder.path).clear()


def put_together(run: Run, summarise: Summarise, todo: Sequence[Work] = ()) -> None:
    """As `make_tables`, and leave the record and the parts as they are."""
    judge(run, list(todo))
    summarise(run.folder.path)
    draw(run)


def finish(run: Run, timed: bool) -> None:
    """Time what is not timed, and say that the run is finished."""
    if not timed:
        with run.recorded():
            time(run)
    run.record(finished=True)
    run.screen.say(f"written to {run.folder.path}")


def draw(run: Run) -> None:
    """Make the picture sheets."""
    if not run.experiment.drawn:
        return
    from reciprocam_bench.engine.sheets import draw_sheets  # here, as matplotlib would be half a second of each start

    with run.phases("pictures"):
        draw_sheets(run)


def time(run: Run) -> None:
    """Time the methods, and write the tables of times."""
    with run.phases("timing"):
        timing = time_experiment(run.experiment, run.screen)
    run.machine.update(timing.machine)
    run.folder.write_table(TIMING_ROUNDS, timing.rounds, "%.6g")
    run.folder.write_table(TIMING, timing.table, "%.6g")


def describe(experiment: Experiment, screen: Screen) -> None:
    """Say what network is run on which images."""
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
