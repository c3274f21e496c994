"""A whole run from config to tables: what ``rcam-bench run`` and ``rcam-bench time`` do."""

from collections.abc import Callable
from pathlib import Path

from reciprocam_bench.config import Config
from reciprocam_bench.engine.experiment import Experiment, set_up
from reciprocam_bench.engine.memory import keep_freed_memory
from reciprocam_bench.engine.run import Phases, begin, judge, record
from reciprocam_bench.engine.store import RunFolder
from reciprocam_bench.engine.timing import time_experiment
from reciprocam_bench.errors import UserError
from reciprocam_bench.reporting.report import report
from reciprocam_bench.reporting.summary import per_class, summarise

Say = Callable[..., None]


def complete(config: Config, path: Path, *, fresh: bool, quiet: bool, say: Say) -> str:
    """Judge, summarise and time; a run that is there is continued, a finished one only shown. Returns the tables."""
    keep_freed_memory()
    experiment = set_up(config)
    folder = RunFolder(path)
    phases = begin(experiment, folder, fresh)
    if folder.finished:
        say(f"{path} holds this run, finished; --fresh runs it anew")
        return report(path, "markdown")
    _introduce(experiment, say)
    with _recorded(experiment, folder, phases):
        judge(experiment, folder, phases, quiet)
        for name, table in {"summary": summarise(path), "per_class": per_class(path)}.items():
            if table is not None:
                folder.write(f"{name}.csv", table.to_csv(index=False, float_format="%.4f", lineterminator="\n"))
        if config.timing is not None:
            _time(experiment, folder, phases, quiet)
    record(experiment, folder, phases, finished=True)
    _warn(path, say)
    say(f"written to {path}")
    return report(path, "markdown")


def only_time(config: Config, path: Path, *, fresh: bool, quiet: bool, say: Say) -> str:
    """Time the methods into the run folder; returns the table."""
    keep_freed_memory()
    if config.timing is None:
        raise UserError("the config has no 'timing:' part; add one, for example --set timing.repeats=10")
    experiment = set_up(config)
    folder = RunFolder(path)
    phases = begin(experiment, folder, fresh)
    finished = folder.finished
    _introduce(experiment, say)
    _time(experiment, folder, phases, quiet)
    record(experiment, folder, phases, finished=finished)
    say(f"written to {path}")
    return report(path, "markdown", parts=("timing",))


class _recorded:
    """Keeps ``environment.json`` true also when a run is stopped."""

    def __init__(self, experiment: Experiment, folder: RunFolder, phases: Phases) -> None:
        self._write = lambda: record(experiment, folder, phases, finished=False)

    def __enter__(self) -> None:
        self._write()

    def __exit__(self, *exception: object) -> None:
        self._write()


def _time(experiment: Experiment, folder: RunFolder, phases: Phases, quiet: bool) -> None:
    with phases("timing"):
        table = time_experiment(experiment, quiet)
    folder.write("timing.csv", table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def _introduce(experiment: Experiment, say: Say) -> None:
    b = experiment.backbone
    head = "pooled linear head" if b.linear is not None else "other head"
    c, h, w = b.feature_shape
    say(f"{b.name} ({b.weights.get('source', 'own weights')}) on {b.device}")
    say(f"layer {b.layer} ({b.split} split), {c} maps of {h}x{w}, {head}; {b.folded_batch_norms} batch norms folded")
    data = experiment.dataset
    say(f"{len(data.samples)} images of {data.name}, {len(data.skipped)} left out")


def _warn(path: Path, say: Say) -> None:
    summary = summarise(path)
    for _, row in summary.iterrows():
        bad = {key: row[key] for key in ("errors", "nan", "constant") if row[key]}
        if bad:
            what = ", ".join(f"{count} {key}" for key, count in bad.items())
            total = row["images"] + row["errors"]
            say(f"note: {row['method']} ({row['protocol']}): {what} of {total} maps; see per_image.csv")
