"""The timing part of a run."""

import sys

import pandas as pd
import torch

from reciprocam_bench.datasets.images import PreparedImages
from reciprocam_bench.engine.experiment import Experiment
from reciprocam_bench.engine.run import Run, Screen
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.registry import Method
from reciprocam_bench.timing.measure import peaks, rows, time_methods


def is_timed(run: Run) -> bool:
    """Whether the folder holds the times that the config asks for."""
    timing, table = run.experiment.config.timing, run.before.timing() if run.before else None
    if timing is None or table is None or run.before is None or run.before.config.timing != timing:
        return False
    return {m.title for m in run.experiment.timed} <= set(table["method"])


def time_experiment(experiment: Experiment, screen: Screen) -> pd.DataFrame:
    """Time the experiment's methods on its first readable images; the content of ``timing.csv``."""
    timing = experiment.config.timing
    if timing is None:
        raise UserError("the config has no 'timing:' part; add one, for example --set timing.repeats=10")
    images = _first_images(experiment, timing.batch_size)
    methods = experiment.timed
    costs = {m.title: 1 + m.forwards(experiment.backbone) for m in methods}
    # A slow method's call is most of a round; the first round measures memory.
    share = {title: cost / sum(costs.values()) for title, cost in costs.items()}
    with screen.progress(1 + timing.warmup + timing.repeats, "rounds", "timing") as progress:

        def count(method: Method) -> None:
            progress.advance(share[method.title])

        memory, failed = peaks(experiment.backbone, methods, images, count)
        able = [m for m in methods if m.title not in failed]
        samples = time_methods(
            experiment.backbone, able, images, repeats=timing.repeats, warmup=timing.warmup, on_done=count
        )
    for title, reason in failed.items():
        lost = "; nothing is timed against it" if title == timing.relative_to else ""
        print(f"note: {title} could not be timed: {reason}{lost}", file=sys.stderr)
    reference = None if timing.relative_to in failed else timing.relative_to
    return pd.DataFrame(rows(experiment.backbone, methods, len(images), samples, memory, reference, failed))


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
    return experiment.backbone.prepare(torch.stack([images[i % len(images)] for i in range(count)]))
