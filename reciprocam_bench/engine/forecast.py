"""How long a run will take, before it begins."""

import time

import torch
from tqdm import tqdm

from reciprocam_bench.engine.plan import Unit, Work
from reciprocam_bench.engine.run import Run
from reciprocam_bench.metrics.metric import passes
from reciprocam_bench.protocols.protocol import Protocol


def passes_of(unit: Unit, cost: float, protocol: Protocol) -> list[float]:
    """The passes a unit makes over its images, in forwards: explain, masked image, explain that, questions."""
    again = [cost] if any(m.needs("masked_explanation") for m in unit.metrics) else []
    questions = passes(unit.metrics, protocol, cost)
    return [cost, 1.0, *again, *([questions] if questions else [])]


def forecast(run: Run, todo: list[Work], timed: bool) -> str:
    """One line: about how long judging, and timing where that is left, will take, from a measured forward pass."""
    backbone, config = run.experiment.backbone, run.experiment.config
    each = _seconds_of_a_forward(run)
    judged = sum(
        len(work.batch.samples)
        * (1 + sum(sum(passes_of(u, u.method.forwards(backbone), work.batch.protocol)) for u in work.units))
        for work in todo
    )
    rounds = 0.0
    if config.timing is not None and not timed:
        timing = config.timing
        calls = 1 + sum(1 + method.forwards(backbone) for method in run.experiment.timed)
        # How many rounds `auto` takes shows only as it goes; ten are a fair guess.
        repeats = 10 if timing.repeats == "auto" else timing.repeats
        rounds = calls * sum(timing.batch_sizes) * (timing.processes + timing.warmup + repeats)
    judged /= run.processes
    parts = [f"{_clock(n * each)} to {what}" for n, what in ((judged, "judge"), (rounds, "time")) if n]
    return f"about {' and '.join(parts)}, from a measured forward pass of {1000 * each:.3g} ms an image"


def _seconds_of_a_forward(run: Run) -> float:
    backbone, experiment = run.experiment.backbone, run.experiment
    geometry = experiment.preparation(experiment.protocols[0]).geometry
    side, count = geometry.crop or geometry.size, min(experiment.batch_size, backbone.chunk_size())
    channels = len(backbone.preprocessing.mean)
    images = backbone.prepare(torch.zeros(count, channels, side, side))
    taken = []
    for _ in range(3):  # the first one prepares kernels and memory
        begun = time.perf_counter()
        with torch.no_grad():
            float(backbone(images).sum())  # the number is waited for
        taken.append((time.perf_counter() - begun) / count)
    return min(taken)


def _clock(seconds: float) -> str:
    return tqdm.format_interval(max(1, round(seconds)))
