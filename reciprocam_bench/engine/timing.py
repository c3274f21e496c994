"""The timing part of a run."""

import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch

from reciprocam_bench.config import TimingConfig
from reciprocam_bench.datasets.images import PreparedImages
from reciprocam_bench.engine.experiment import Experiment
from reciprocam_bench.engine.progress import Progress
from reciprocam_bench.engine.run import Run, Screen
from reciprocam_bench.engine.timing_processes import OtherTimer, started
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.registry import Method
from reciprocam_bench.runfolder.doubt import busy
from reciprocam_bench.timing.machine import Reading, between
from reciprocam_bench.timing.measure import Call, Timed, peaks
from reciprocam_bench.timing.table import frame, timing_table, uncertainty
from reciprocam_bench.timing.timer import Timer

# A fixed number of rounds is divided into at most so many blocks; with `auto` there are at least so many.
_MOST_BLOCKS, _FEWEST_BLOCKS = 10, 5
# With `auto` a block is about so long, and so many rounds at most; rounds go on until the intervals are so narrow.
_BLOCK_SECONDS, _MOST_ROUNDS, _NARROW = 2.0, 20, 0.05


@dataclass(frozen=True)
class Timing:
    """What was timed: ``timing.csv``, ``timing_rounds.csv``, and what the machine did meanwhile."""

    table: pd.DataFrame
    rounds: pd.DataFrame
    machine: dict[str, Any]


def is_timed(run: Run) -> bool:
    """Whether the folder holds the times that the config asks for."""
    timing = run.experiment.config.timing
    if timing is None or run.before is None or run.before.config.timing != timing:
        return False
    table, rounds = run.before.timing(), run.before.timing_rounds()
    if table is None or rounds is None:
        return False
    return {m.title for m in run.experiment.timed} <= set(table["method"])


def time_experiment(experiment: Experiment, screen: Screen) -> Timing:
    """Time the experiment's methods on its first readable images."""
    timing, backbone = experiment.config.timing, experiment.backbone
    if timing is None:
        raise UserError("the config has no 'timing:' part; add one, for example --set timing.repeats=10")
    sizes = timing.batch_sizes
    images = _first_images(experiment, max(sizes))
    batches = {size: backbone.prepare(images[:size]) for size in sizes}
    begin = Reading.now()
    with _progress(timing, screen) as progress:
        count = _Count(experiment, progress, sizes)
        memory, failed = _peaks(experiment, batches, count)
        able = [m for m in experiment.timed if m.title not in failed]
        timer = Timer(backbone, able, batches, on_done=count, failed=failed)
        begun = time.perf_counter()
        timer.warm_up(timing.warmup)
        seconds = (time.perf_counter() - begun) / timing.warmup if timing.warmup else np.inf
        calls: list[Call] = []

        def rounds_table() -> pd.DataFrame:
            return frame(call for call in calls if call.method not in failed)

        def table() -> pd.DataFrame:
            reference = None if timing.relative_to in failed else timing.relative_to
            return timing_table(backbone, experiment.timed, rounds_table(), memory, reference, failed)

        with started(experiment.config, timing.processes - 1, able, batches, count.rounds, failed) as others:
            timers: list[Timer | OtherTimer] = [timer, *others]
            for block, rounds in enumerate(_schedule(timing, seconds, lambda: uncertainty(table()))):
                calls += timers[block % len(timers)].block(block, rounds)
    machine = between(begin, Reading.now(), backbone.device)
    _tell(failed, timing, machine)
    return Timing(table(), rounds_table(), machine)


class _Count:
    """Counts finished rounds: a slow method's call is most of one."""

    def __init__(self, experiment: Experiment, progress: Progress, sizes: Sequence[int]) -> None:
        costs = {m.title: 1 + m.forwards(experiment.backbone) for m in experiment.timed}
        whole = (1 + sum(costs.values())) * sum(sizes)
        self._share = {(title, b): cost * b / whole for title, cost in costs.items() for b in sizes}
        self._alone = {b: b / whole for b in sizes}
        self._progress = progress

    def __call__(self, method: Method | None, size: int) -> None:
        self._progress.advance(self._alone[size] if method is None else self._share[method.title, size])

    def rounds(self, number: int) -> None:
        """That many whole rounds."""
        self._progress.advance(number)


def _schedule(timing: TimingConfig, seconds_of_round: float, uncertain: Callable[[], float]) -> Iterator[range]:
    """The rounds of each block.

    With ``auto`` blocks go on until no ratio is more uncertain than 5 % or the budget is used. ``uncertain`` says how
    uncertain the ratios of the blocks so far are; a round of unknown length is infinitely long.
    """
    if timing.repeats != "auto":
        edges = np.linspace(0, timing.repeats, min(timing.repeats, _MOST_BLOCKS) + 1).round().astype(int).tolist()
        yield from (range(a, b) for a, b in pairwise(edges))
        return
    size = max(1, min(_MOST_ROUNDS, round(_BLOCK_SECONDS / seconds_of_round)))
    begun = time.perf_counter()
    for block in itertools.count():
        if block >= _FEWEST_BLOCKS and uncertain() <= _NARROW:
            return
        if block >= 2 and time.perf_counter() - begun > timing.budget_s:
            return
        yield range(block * size, (block + 1) * size)


def _progress(timing: TimingConfig, screen: Screen) -> Progress:
    # The first round measures memory. How many rounds `auto` takes is not known before.
    rounds = _FEWEST_BLOCKS * _MOST_ROUNDS if timing.repeats == "auto" else timing.repeats
    return screen.progress(1 + timing.warmup + rounds, "rounds", "timing")


def _peaks(
    experiment: Experiment, batches: dict[int, torch.Tensor], count: "_Count"
) -> tuple[dict[int, dict[Timed, int]], dict[str, str]]:
    """Peak memory by batch size, and why methods failed."""
    memory: dict[int, dict[Timed, int]] = {}
    failed: dict[str, str] = {}
    for size, batch in batches.items():
        able = [m for m in experiment.timed if m.title not in failed]
        memory[size], reasons = peaks(experiment.backbone, able, batch, partial(count, size=size))
        failed |= reasons
    return memory, failed


def _tell(failed: dict[str, str], timing: TimingConfig, machine: dict[str, Any]) -> None:
    for title, reason in failed.items():
        lost = "; nothing is timed against it" if title == timing.relative_to else ""
        print(f"note: {title} could not be timed: {reason}{lost}", file=sys.stderr)
    if line := busy(machine):
        print(f"note: {line}", file=sys.stderr)


def _first_images(experiment: Experiment, count: int) -> torch.Tensor:
    paths = [str(s.path) for s in experiment.dataset.samples]
    images: list[torch.Tensor] = []
    prepared = PreparedImages(paths, experiment.preparation(experiment.protocols[0]))
    for item in (prepared[i] for i in range(len(prepared))):
        if not isinstance(item, str) and (not images or item.tensor.shape == images[0].shape):
            images.append(item.tensor)
        if len(images) == count:
            break
    if not images:
        raise UserError("none of the images could be read, so there is nothing to time")
    # Fewer images than asked for are repeated; what they show does not change the time.
    return torch.stack([images[i % len(images)] for i in range(count)])
