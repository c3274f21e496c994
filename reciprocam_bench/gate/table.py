"""Findings as a table to read, and one for programs."""

from collections.abc import Sequence

import pandas as pd

from reciprocam_bench.gate.decide import BETTER, HOLDS, UNTOLD, WORSE
from reciprocam_bench.gate.findings import Finding, shown
from reciprocam_bench.reporting.text import as_text, check_format
from reciprocam_bench.runfolder.tables import to_csv

_ORDER = (WORSE, UNTOLD, BETTER, HOLDS)


def to_text(findings: Sequence[Finding], title: str, notes: Sequence[str], form: str, width: int = 100) -> str:
    """The table in a format of `report`; what failed stands first. Raises ``UserError`` for another format."""
    check_format(form)
    if form == "csv":
        return to_csv(pd.DataFrame([_row(f) for f in findings]), "%.6g")
    ordered = sorted(findings, key=lambda f: _ORDER.index(f.verdict))
    readable = pd.DataFrame([_readable(f) for f in ordered])
    if not readable["note"].any():
        readable = readable.drop(columns="note")
    return as_text(readable, title, notes, form, width, "check")


def _readable(finding: Finding) -> dict[str, str]:
    return {
        "checked": finding.title,
        "baseline": shown(finding, finding.before),
        "now": shown(finding, finding.now),
        "change": finding.moved(),
        "verdict": finding.verdict,
        "note": finding.reason,
    }


def _row(finding: Finding) -> dict[str, object]:
    change, now = finding.change, finding.now
    return {
        "checked": finding.title,
        "kind": "ratio" if finding.pair else "metric",
        "baseline": finding.before.value,
        "now": now.value if now else None,
        "low": now.low if now else None,
        "high": now.high if now else None,
        "change": change.value,
        "change_low": change.low,
        "change_high": change.high,
        "verdict": finding.verdict,
        "note": finding.reason,
    }
