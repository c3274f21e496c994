"""``rcam-bench check``: what became of each number of a baseline in a run."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from reciprocam_bench.errors import UserError
from reciprocam_bench.gate.baseline import Baseline, Ratio, read_baseline
from reciprocam_bench.gate.decide import WORSE, Change, Estimate, change_of_ratio, change_of_value
from reciprocam_bench.gate.findings import Finding
from reciprocam_bench.gate.ratios import Rounds
from reciprocam_bench.gate.values import Values
from reciprocam_bench.reporting.alike import circumstances_of, differing, facts_of
from reciprocam_bench.runfolder.doubt import busy
from reciprocam_bench.runfolder.record import RunRecord, read_record

# What a speed-up depends on beside the network.
_OF_TIMES = ("device", "threads", "precision", "compile")
_NOTHING = Change(math.nan, None, None, WORSE)


def check(folder: Path, path: Path) -> list[Finding]:
    """What became of each number of the baseline ``path`` in the run of ``folder``.

    ``UserError`` where the two are not of one network, device, protocol and format, or the run lacks a number.
    """
    baseline, record = read_baseline(path), read_record(folder)
    before = baseline.record(path)
    if found := differing(_identity(before, baseline), _identity(record, baseline)):
        raise UserError(
            f"{folder} cannot be checked against {path}: {found}; "
            "give it a baseline of its own, or write this one anew with --update"
        )
    return [
        *(_ratios(baseline, Rounds(record), path) if baseline.ratios else ()),
        *(_metrics(baseline, Values(record), path) if baseline.metrics else ()),
    ]


def notes_of(folder: Path, path: Path) -> list[str]:
    """What a reader must know beside the findings: what else differs from the baseline, and a busy machine."""
    record = read_record(folder)
    other = differing(circumstances_of(read_baseline(path).record(path)), circumstances_of(record))
    differs = f"the run differs from the baseline in {other}" if other else ""
    return [note for note in (differs, busy(record.environment.machine)) if note]


def _identity(record: RunRecord, baseline: Baseline) -> dict[str, Any]:
    environment = record.environment
    # What folders older than these keys did not say.
    told = {"precision": "float32", "compile": False, **(environment.model_extra or {}), **environment.fingerprint}
    facts = {"format of the run": environment.format, **facts_of(record)}
    if layer := (told.get("backbone") or {}).get("layer"):
        facts["layer"] = layer
    # Values of metrics are the same on every device, but for their last digits.
    if not baseline.ratios:
        return facts
    timed = {f"method '{title}'": method.title for title, method in record.definitions.timed.items()}
    return facts | timed | {name: told[name] for name in _OF_TIMES if name in told}


def _ratios(baseline: Baseline, rounds: Rounds, path: Path) -> Iterator[Finding]:
    for ratio in baseline.ratios:
        yield _of_ratio(ratio, rounds.ratio(ratio.pair, str(path)))


def _of_ratio(ratio: Ratio, now: Estimate | str) -> Finding:
    before = Estimate(ratio.value, ratio.low, ratio.high)
    if isinstance(now, str):
        return Finding(str(ratio.pair), before, None, _NOTHING, pair=ratio.pair, reason=now)
    change = change_of_ratio(before, now, ratio.tolerance, ratio.floor)
    reason = "" if change.low is not None else "one block of rounds has no interval"
    return Finding(str(ratio.pair), before, now, change, pair=ratio.pair, reason=reason)


def _metrics(baseline: Baseline, values: Values, path: Path) -> Iterator[Finding]:
    now = values.estimates([value.key for value in baseline.metrics], str(path))
    paired = values.differences(baseline, path)
    for value, found in zip(baseline.metrics, now, strict=True):
        before = Estimate(value.value, None, None)
        up = values.metrics[value.metric].higher_is_better
        if found is None:
            reason = "no map has a value any more"
            yield Finding(str(value), before, None, _NOTHING, key=value.key, higher_is_better=up, reason=reason)
            continue
        estimate, images = found
        pair = paired.get(value.key)
        difference = pair.estimate if pair else Estimate(estimate.value - value.value, None, None)
        change = change_of_value(difference, up, value.tolerance)
        reason = _of_other_images(pair.images if pair else 0, images, value.images)
        unpaired = value.images - images if not pair and images < value.images <= values.judged(value.key) else 0
        if lost := pair.lost if pair else unpaired:
            change = replace(change, verdict=WORSE)
            gone = "1 map of an image judged has" if lost == 1 else f"{lost} maps of images judged have"
            reason = f"{gone} no value any more; {reason}".removesuffix("; ")
        yield Finding(str(value), before, estimate, change, key=value.key, higher_is_better=up, reason=reason)


def _of_other_images(paired: int, now: int, then: int) -> str:
    """What a reader must know where the two values are not of the same images."""
    if paired and not paired == now == then:
        return f"the change is that of {paired} images in common; {now} now, {then} in the baseline"
    return "" if now == then else f"of {now} images now, of {then} in the baseline, which are not paired"
