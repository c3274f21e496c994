"""A progress bar that counts work, not calls: it moves inside a slow method, and its time to go holds."""

import sys
import time
from collections.abc import Callable
from typing import Self, TextIO

from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 15.0


class Progress:
    """Work done out of ``total`` units, drawn as a bar on a terminal and as a line now and then elsewhere.

    The rate is the mean over the whole run: a moving average would promise what the method of the moment needs.
    """

    def __init__(
        self,
        total: float,
        unit: str,
        label: str,
        *,
        done: float = 0.0,
        quiet: bool = False,
        stream: TextIO | None = None,
    ) -> None:
        self._total, self._unit, self._label = total, unit, label
        self._start, self._begun, self._done = done, time.monotonic(), done
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._last_line = self._begun
        terminal = not quiet and self._stream.isatty()
        self._bar = (
            tqdm(
                total=total,
                initial=done,
                desc=label,
                file=self._stream,
                smoothing=0,
                dynamic_ncols=True,
                bar_format="{desc} {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} " + unit + " [{elapsed}<{remaining}]",
            )
            if terminal
            else None
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self._bar is not None:
            self._bar.close()
        elif not self._quiet and kind is None:
            self._line()

    def advance(self, amount: float) -> None:
        """Add ``amount`` units of finished work; shares of work that add up to a little more than the total are cut."""
        self._done = min(self._total, self._done + amount)
        if self._bar is not None:
            self._bar.n = self._done
            self._bar.update(0)  # draws if it is time to
        elif not self._quiet and not self._is_done and time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._line()

    @property
    def _is_done(self) -> bool:
        """Whether nothing is left but what sums of shares lose in their last digits."""
        return self._total - self._done <= 1e-6 * self._total

    def task(self, passes: list[float]) -> "Task":
        """A piece of work that reports its own share done, once for each of its ``passes`` (in units)."""
        return Task(self.advance, passes)

    def _line(self) -> None:
        self._last_line = now = time.monotonic()
        elapsed = now - self._begun
        rate = (self._done - self._start) / elapsed if elapsed > 0 else 0.0
        left = f", about {_clock((self._total - self._done) / rate)} to go" if rate and not self._is_done else ""
        text = f"{self._label}: {self._done:.0f}/{self._total:.0f} {self._unit}, {_clock(elapsed)} elapsed{left}"
        print(text, file=self._stream, flush=True)


class Task:
    """Turns shares (0 to 1, once for each pass) into finished units, and never counts a unit twice."""

    def __init__(self, advance: Callable[[float], None], passes: list[float]) -> None:
        self._advance = advance
        self._passes = passes
        self._pass, self._share, self._counted = 0, 0.0, 0.0

    def __call__(self, share: float) -> None:
        """Report the share of the current pass that is done; a smaller one than before begins the next pass."""
        if share < self._share:
            self._pass += 1
        self._share = share
        if self._pass < len(self._passes):
            self._count(sum(self._passes[: self._pass]) + share * self._passes[self._pass])

    def finish(self) -> None:
        """Count whatever was not reported."""
        self._count(sum(self._passes))

    def _count(self, units: float) -> None:
        if units > self._counted:
            self._advance(units - self._counted)
            self._counted = units


def _clock(seconds: float) -> str:
    return tqdm.format_interval(round(seconds))
