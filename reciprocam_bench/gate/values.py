"""Metric values of a run folder, and how they differ from a baseline's on the images that both hold."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from reciprocam_bench.errors import UserError
from reciprocam_bench.gate.baseline import Baseline
from reciprocam_bench.gate.decide import Estimate
from reciprocam_bench.reporting.alike import check_images
from reciprocam_bench.reporting.estimate import estimate, sample_of
from reciprocam_bench.reporting.paired import differences
from reciprocam_bench.reporting.pairing import Judged, Match, judged_of
from reciprocam_bench.reporting.summary import check_agreement
from reciprocam_bench.runfolder.record import RunRecord, read_images
from reciprocam_bench.runfolder.schema import IMAGES, KEY

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Paired:
    """A difference in percentage points, on so many images; ``lost`` trials were judged, but have no value any more."""

    estimate: Estimate
    images: int
    lost: int


class Values:
    """What the rows of a finished run folder come to."""

    def __init__(self, record: RunRecord) -> None:
        if record.environment.finished is None:
            raise UserError(f"{record.path} is not finished; go on with rcam-bench run, then check it")
        self._record, self.path, self.metrics = record, record.path, record.metrics
        self.rows = record.rows()
        check_agreement(record, self.rows)
        numbered = self.rows.assign(image=pd.factorize(self.rows["image"], sort=True)[0])
        self._groups = dict(iter(numbered.groupby(["protocol", "method"], sort=False)))

    def asked(self) -> Iterator[Key]:
        """Every metric of every method under each protocol."""
        for protocol in self._record.config.named_protocols:
            for method in self._record.config.methods:
                for metric in self._record.metrics:
                    yield (protocol, method.title, metric)

    def estimates(self, keys: Sequence[Key], wanted_by: str) -> list[tuple[Estimate, int] | None]:
        """Data set values in percent with the number of their images; None where no map has one.

        ``UserError`` where the run does not ask for such a value; ``wanted_by`` names what does.
        """
        known = set(self.asked())
        samples = []
        for key in keys:
            if key not in known:
                raise UserError(
                    f"{self._record.path} holds no {key[2]} of '{key[1]}' under {key[0]}, which {wanted_by} asks for; "
                    "run it with that, or take it out of there"
                )
            rows = self._groups.get(key[:2])
            samples.append(None if rows is None else sample_of(self.metrics[key[2]], rows, self.metrics))
        return [
            None if sample is None or value is None else (Estimate(value, low, high), len(sample.images))
            for sample, (value, low, high) in zip(samples, estimate(samples), strict=True)
        ]

    def differences(self, baseline: Baseline, path: Path) -> dict[Key, Paired]:
        """How far the values lie above the baseline's on the images that both hold; nothing where it kept no rows."""
        if baseline.rows is None:
            return {}
        pictures = baseline.pictures.frame()
        check_images(pictures, read_images(self.path), str(path), str(self.path / IMAGES))
        old = baseline.record(path)
        judged = judged_of([old, self._record], [_checked(old, baseline.rows.frame()), self.rows])
        matched = {(p, m.first.method): m for p, ones in judged.items() for m in _matches(ones, self._record)}
        samples = {
            value.key: pair
            for value in baseline.metrics
            if (match := matched.get(value.key[:2])) and (pair := match.samples(value.metric)) is not None
        }
        found = differences(list(samples.values()), self._record.config.seed)
        return {
            key: Paired(Estimate(d.difference, d.low, d.high), d.images, _lost(matched[key[:2]], key[2]))
            for key, d in zip(samples, found, strict=True)
        }

    def judged(self, key: Key) -> int:
        """How many images the run has rows of, whether or not they have a value."""
        rows = self._groups.get(key[:2])
        return 0 if rows is None else rows["image"].nunique()


def _lost(match: Match, metric: str) -> int:
    """The trials of the run that had a value before, and have none."""
    now, before = match.first, match.second
    had = np.intersect1d(now.rows["trial"].to_numpy(), before.trials(metric))
    return len(np.setdiff1d(had, now.trials(metric)))


def _checked(record: RunRecord, rows: pd.DataFrame) -> pd.DataFrame:
    """A baseline's rows, with values as numbers."""
    try:
        rows = record.checked(rows.astype(object).where(rows.notna(), "").astype(str))
        whole = not rows.duplicated(list(KEY)).any()
    except (UserError, OSError, KeyError):  # there is no file to name a line of
        whole = False
    if not whole:
        raise UserError(f"{record.path}: its rows are damaged; make it anew with --update")
    return rows


def _matches(judged: Sequence[Judged], now: RunRecord) -> Iterator[Match]:
    """The run's rows of each method against the baseline's."""
    before = {one.method: one for one in judged if one.record is not now}
    yield from (Match("", one, before[one.method]) for one in judged if one.record is now and one.method in before)
