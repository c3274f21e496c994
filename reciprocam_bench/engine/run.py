"""A run that is going on: the experiment, its folder, its clock, and how it talks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reciprocam_bench.engine.done import Done, read_done
from reciprocam_bench.engine.experiment import Experiment
from reciprocam_bench.engine.phases import Phases
from reciprocam_bench.engine.progress import Progress
from reciprocam_bench.engine.record import conditions_of, environment_of
from reciprocam_bench.engine.resume import check_before
from reciprocam_bench.engine.settle import settled
from reciprocam_bench.runfolder.folder import RunFolder, opened
from reciprocam_bench.runfolder.parts import Parts
from reciprocam_bench.runfolder.record import RunRecord
from reciprocam_bench.runfolder.schema import Environment


@dataclass(frozen=True)
class Screen:
    """Where a run talks: lines and progress bars, or nothing of it; ``about`` stands before a bar's label."""

    quiet: bool
    say: Callable[..., None]
    about: str = ""

    def progress(self, total: float, unit: str, label: str, done: float = 0.0) -> Progress:
        """A bar of ``total`` units."""
        return Progress(total, unit, f"{self.about}{label}", done=done, quiet=self.quiet)


@dataclass(frozen=True)
class Run:
    """A run that is going on, in a folder that this process holds.

    Attributes:
        before: the run that the folder held when this start opened it, None where it held none.
        done: what the folder holds of this experiment.
        machine: what the machine did while it was timed; filled by timing.
        against_float32: how far other arithmetic is from float32 (`compare_with_float32`).
        processes: how many the launch has that this start is of.
        known: whether the folder's record holds this start already.
    """

    experiment: Experiment
    folder: RunFolder
    phases: Phases
    screen: Screen
    before: RunRecord | None
    done: Done
    machine: dict[str, Any]
    against_float32: dict[str, Any]
    processes: int = 1
    known: bool = False

    def begin(self, *, as_before: bool = False) -> None:
        """Make the folder a run of this config."""
        self.folder.begin(self.experiment.config_text, self._environment(finished=False, as_before=as_before))

    def record(self, *, finished: bool, as_before: bool = False) -> None:
        """Write ``environment.json``; with the conditions of the run before where this start computes nothing."""
        self.folder.write_environment(self._environment(finished=finished, as_before=as_before))

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Keep ``environment.json`` true also when the work inside is stopped."""
        try:
            yield
        finally:
            self.record(finished=False)

    def _environment(self, *, finished: bool, as_before: bool = False) -> dict[str, Any]:
        noted = (self.phases.seconds, self.machine, self.against_float32)
        new_start = None if self.known else self.processes
        classes = self.folder.classes() if finished else None
        made = environment_of(self.experiment, self.before, *noted, new_start, classes)
        return made | conditions_of(self.folder.path) if as_before else made


@contextmanager
def open_run(
    experiment: Experiment, path: Path, fresh: bool, screen: Screen, processes: int = 1, *, known: bool = False
) -> Iterator[Run]:
    """Hold the folder and see what it holds; a run that cannot be continued is a ``UserError`` and left alone."""
    with opened(path, fresh, processes) as folder:
        yield replace(started(experiment, folder, screen, processes), known=known)


def started(
    experiment: Experiment, folder: RunFolder, screen: Screen, processes: int = 1, *, parts: bool = True
) -> Run:
    """The run of a folder that this process holds, as it stands there, with ``parts`` or without."""
    before = folder.record()
    experiment = _settled(experiment, before, screen)
    if before:
        check_before(experiment, before)
    noted = before.environment if before else Environment()
    seconds, machine, against = dict(noted.seconds), dict(noted.machine), dict(noted.against_float32)
    for phase, more in Parts(folder.path).seconds().items() if parts else ():
        seconds[phase] = seconds.get(phase, 0.0) + more
    done = read_done(experiment, folder, before, parts=parts)
    phases = Phases(seconds, experiment.backbone.device)
    return Run(experiment, folder, phases, screen, before, done, machine, against, processes)


def _settled(experiment: Experiment, before: RunRecord | None, screen: Screen) -> Experiment:
    chosen = settled(experiment, before.config if before else None)
    if chosen is not experiment:
        screen.say(f"batch_size {chosen.batch_size}, workers {chosen.workers}")
    return chosen
