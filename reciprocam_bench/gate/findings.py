"""What came of each number of a baseline."""

from dataclasses import dataclass

from reciprocam_bench.gate.baseline import Pair
from reciprocam_bench.gate.decide import UNTOLD, WORSE, Change, Estimate


@dataclass(frozen=True)
class Finding:
    """One number of a baseline, now and then.

    Attributes:
        pair: what a ratio is of; None for a metric.
        key: protocol, method and metric; None for a ratio.
        title: what a reader calls it.
        before: in the baseline; a speed-up, or percent.
        now: in the run; None where it has none, and ``reason`` says why.
        change: a factor of a speed-up, percentage points of a metric.
        higher_is_better: None where that is unknown.
        reason: what a reader must know beside the numbers.
    """

    title: str
    before: Estimate
    now: Estimate | None
    change: Change
    pair: Pair | None = None
    key: tuple[str, str, str] | None = None
    higher_is_better: bool | None = True
    reason: str = ""

    @property
    def verdict(self) -> str:
        """``holds``, ``better``, ``worse`` or ``cannot be told``."""
        return self.change.verdict

    def fails(self, strict: bool) -> bool:
        """Whether the gate stays shut; ``strict`` also where it cannot be told."""
        return self.verdict == WORSE or (strict and self.verdict == UNTOLD)

    def in_words(self) -> str:
        """One line: what changed from what to what, and what that means."""
        if self.now is None:
            return f"{self.title}: {self.reason}"
        more = f" ({self.reason})" if self.reason else ""
        numbers = f"{shown(self, self.before)} to {shown(self, self.now)}, {self.moved()}"
        return f"{self.title}: {numbers}: {self.verdict}{more}"

    def moved(self) -> str:
        """The change with its interval: percent of a ratio, percentage points of a metric; nothing where it is gone."""
        if self.now is None:
            return ""
        ends = (self.change.value, self.change.low, self.change.high)
        value, low, high = (None if end is None else self._of_change(end) for end in ends)
        return f"{value}{' %' if self.pair else ''}" + (f" ({low} to {high})" if low else "")

    def _of_change(self, value: float) -> str:
        # Adding nothing takes the sign off what rounds to it.
        return f"{round(100 * (value - 1), 1) + 0.0:+.1f}" if self.pair else f"{round(value, 2) + 0.0:+.2f}"


def shown(finding: Finding, estimate: Estimate | None) -> str:
    """A ratio with three significant digits, a metric with two places."""
    if estimate is None:
        return ""
    value = estimate.value
    if finding.pair is None:
        return f"{value:.2f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
