"""``rcam-bench check --update``: the baseline of a run."""

from pathlib import Path

from reciprocam_bench.errors import UserError
from reciprocam_bench.gate.baseline import FORMAT, Baseline, Ratio, Table, Value, read_baseline, write_baseline
from reciprocam_bench.gate.ratios import Rounds
from reciprocam_bench.gate.values import Values
from reciprocam_bench.runfolder.record import RunRecord, read_images, read_record
from reciprocam_bench.runfolder.schema import TIMING_ROUNDS

# A row is about 200 bytes: more images would make a file that nobody wants in a repository.
_MOST_IMAGES = 1000
# Of no use to whom the baseline is for.
_LEFT_OUT = {"starts", "seconds"}


def update(folder: Path, path: Path) -> Baseline:
    """Write the baseline of a run. One that is there says which numbers it holds, and their tolerances.

    ``UserError`` where the run has neither times nor values, or lacks a number that the old baseline names.
    """
    record = read_record(folder)
    old = read_baseline(path) if path.exists() else None
    # A new baseline holds what the run has, another what the old one held.
    timed = bool(old.ratios) if old else (folder / TIMING_ROUNDS).exists()
    judged = bool(old.metrics) if old else record.judged
    ratios = _ratios(record, old, path) if timed else []
    values = Values(record) if judged else None
    metrics = _metrics(values, old, path) if values else []
    if not ratios and not metrics:
        raise UserError(f"{folder} holds neither times nor values of metrics; run it first")
    kept = values is not None and values.rows["image"].nunique() <= _MOST_IMAGES
    images = read_images(folder)
    facts = record.environment.model_dump(exclude=_LEFT_OUT) | {"definitions": record.definitions}
    baseline = Baseline.model_validate(
        {
            "format": FORMAT,
            "ratios": ratios,
            "metrics": metrics,
            "config": record.config.model_dump(mode="json"),
            "environment": facts,
            "rows": Table.of(values.rows) if values and kept else None,
            "pictures": Table.of(images if kept else images.iloc[:0]),
        }
    )
    write_baseline(path, baseline)
    return baseline


def _ratios(record: RunRecord, old: Baseline | None, path: Path) -> list[Ratio]:
    rounds = Rounds(record)
    wanted = old.ratios if old else [Ratio(**pair.model_dump(), value=1) for pair in rounds.pairs()]
    found = []
    for ratio in wanted:
        now = rounds.ratio(ratio.pair, str(path))
        if isinstance(now, str):
            raise UserError(f"{record.path}: {now}; a baseline holds what works")
        found.append(ratio.model_copy(update={name: _short(value) for name, value in vars(now).items()}))
    return found


def _short(value: float | None) -> float | None:
    """Six significant digits, as timing.csv holds."""
    return None if value is None else float(f"{value:.6g}")


def _metrics(values: Values, old: Baseline | None, path: Path) -> list[Value]:
    blank = [Value(protocol=p, method=m, metric=name, value=0, images=1) for p, m, name in values.asked()]
    wanted = old.metrics if old else blank
    found = []
    for value, now in zip(wanted, values.estimates([w.key for w in wanted], str(path)), strict=True):
        if now is not None:
            kept = {} if old else {"tolerance": _tolerated(now[0].value, value.tolerance)}
            found.append(value.model_copy(update={"value": round(now[0].value, 6), "images": now[1], **kept}))
        elif old:
            raise UserError(f"{values.path}: no map has a value of {value}; a baseline holds what works")
    return found


def _tolerated(value: float, most: float) -> float:
    """What a small number may lose: a tenth of it, and a hundredth of a point in any case; infidelity is 0.1 %."""
    return min(most, max(0.01, round(abs(value) / 10, 2)))
