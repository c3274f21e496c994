"""What GitHub Actions shows of a check: lines at the top of a job, and a page of its own."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from reciprocam_bench.errors import UserError
from reciprocam_bench.gate.decide import UNTOLD
from reciprocam_bench.gate.findings import Finding

_TITLE = "rcam-bench check"


def tell_github(
    findings: Sequence[Finding], markdown: str, strict: bool, environment: Mapping[str, str] = os.environ
) -> list[str]:
    """The lines for a job's output, ``::error`` and ``::warning``; the table is added to the job's summary.

    Elsewhere than in GitHub Actions there are none.
    """
    if environment.get("GITHUB_ACTIONS") != "true":
        return []
    if summary := environment.get("GITHUB_STEP_SUMMARY"):
        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(f"## {_TITLE}\n\n{markdown}\n")
        except OSError as error:
            raise UserError(f"GITHUB_STEP_SUMMARY: {summary} cannot be written: {error.strerror}") from None
    failed = [f"::error title={_TITLE}::{_escaped(f.in_words())}" for f in findings if f.fails(strict)]
    untold = [f for f in findings if f.verdict == UNTOLD and not strict]
    return failed + [f"::warning title={_TITLE}::{_escaped(f.in_words())}" for f in untold]


def _escaped(text: str) -> str:
    """A message in one line, as the runner reads commands."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
