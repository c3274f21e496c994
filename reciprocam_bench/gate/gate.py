"""A check as the command line asks for it: text, files, and whether it failed."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from reciprocam_bench.gate.actions import tell_github
from reciprocam_bench.gate.check import check, other_circumstances
from reciprocam_bench.gate.decide import BETTER, HOLDS, UNTOLD, WORSE
from reciprocam_bench.gate.findings import Finding
from reciprocam_bench.gate.formats import FORMATS
from reciprocam_bench.gate.table import to_text
from reciprocam_bench.gate.update import update
from reciprocam_bench.reporting.report import check_format
from reciprocam_bench.runfolder.disk import write_whole


def check_against(
    folder: Path, path: Path, form: str, width: int, strict: bool, files: Mapping[str, Path]
) -> tuple[str, bool]:
    """The text of a check in a format of `report`, and whether it failed; ``files`` are paths by format."""
    check_format(form)
    findings = check(folder, path)
    for name, target in files.items():
        write_whole(target, FORMATS[name](findings, strict), f"give --{name} another file")
    title = f"{folder} against {path}: {_counted(findings)}"
    other = other_circumstances(folder, path)
    notes = [f"the run differs from the baseline in {other}"] if other else []
    commands = tell_github(findings, to_text(findings, title, notes, "markdown"), strict)
    text = to_text(findings, title, notes, form, width)
    return "\n".join([text, *commands]), any(f.fails(strict) for f in findings)


def write_update(folder: Path, path: Path) -> str:
    """Write the baseline of a run; what was written, in one line."""
    baseline = update(folder, path)
    rows = "with the rows of the run" if baseline.rows else "without rows"
    return f"written to {path}: {len(baseline.ratios)} ratios, {len(baseline.metrics)} values of metrics, {rows}"


def _counted(findings: Sequence[Finding]) -> str:
    counts = {verdict: sum(f.verdict == verdict for f in findings) for verdict in (WORSE, UNTOLD, BETTER, HOLDS)}
    words = {WORSE: "worse", UNTOLD: "cannot be told", BETTER: "better", HOLDS: "hold"}
    return ", ".join(f"{count} {words[verdict]}" for verdict, count in counts.items() if count)
