"""A check as the command line asks for it: text, files, and whether it failed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from reciprocam_bench.errors import UserError
from reciprocam_bench.gate.actions import tell_github
from reciprocam_bench.gate.check import check, notes_of
from reciprocam_bench.gate.decide import BETTER, HOLDS, UNTOLD, WORSE
from reciprocam_bench.gate.findings import Finding
from reciprocam_bench.gate.formats import FORMATS
from reciprocam_bench.gate.table import to_text
from reciprocam_bench.gate.update import update
from reciprocam_bench.reporting.text import check_format
from reciprocam_bench.runfolder.disk import write_whole
from reciprocam_bench.runfolder.suite import is_suite, listed, run_folders


def check_against(
    folder: Path, path: Path, form: str, width: int, strict: bool, files: Mapping[str, Path]
) -> tuple[str, list[str], bool]:
    """The text of a check in a format of `report`, what marks it on GitHub, and whether it failed.

    ``files`` are paths by format.
    """
    check_format(form)
    pairs = _pairs(folder, path)
    _check_whole(folder, path)
    findings = [finding for run, file in pairs for finding in _named(check(run, file), run, folder)]
    for name, target in files.items():
        write_whole(target, FORMATS[name](findings, strict), f"give --{name} another file")
    title = f"{folder} against {path}: {_counted(findings)}"
    notes = list(dict.fromkeys(note for run, file in pairs for note in notes_of(run, file)))
    notes += _without_a_run(folder, path)
    commands = tell_github(findings, to_text(findings, title, notes, "markdown"), strict)
    text = to_text(findings, title, notes, form, width)
    return text, commands, any(f.fails(strict) for f in findings)


def write_update(folder: Path, path: Path) -> str:
    """Write the baseline of a run, or of each run of a suite; what was written, in a line each."""
    lines = []
    for run, file in _pairs(folder, path):
        baseline = update(run, file)
        rows = "with the rows of the run" if baseline.rows else "without rows"
        counts = f"{len(baseline.ratios)} ratios, {len(baseline.metrics)} values of metrics"
        lines.append(f"written to {file}: {counts}, {rows}")
    return "\n".join(lines)


def _pairs(folder: Path, path: Path) -> list[tuple[Path, Path]]:
    """A run and its baseline; of a suite every run, whose baselines lie in a folder under the run's name."""
    if not is_suite(folder):
        return [(folder, path)]
    if path.is_file():
        raise UserError(f"{folder} is a suite of runs; give --against a folder, for a baseline of each")
    return [(run, path / f"{run.name}.json") for run in run_folders(folder)]


def _check_whole(folder: Path, path: Path) -> None:
    """Refuse a suite of which a run was not begun: the network that broke would be passed over."""
    if not is_suite(folder):
        return
    begun = {run.name for run in run_folders(folder)}
    missing = [name for name in listed(folder) if name not in begun]
    if missing:
        raise UserError(f"{folder}: {', '.join(missing)} was not run, so it cannot be checked against {path}; run it")


def _without_a_run(folder: Path, path: Path) -> list[str]:
    """What is told of baselines of a suite that no run stands beside."""
    if not is_suite(folder):
        return []
    names = sorted({file.stem for file in path.glob("*.json")} - set(listed(folder)))
    return [f"{path} holds baselines of runs that {folder} does not list: {', '.join(names)}"] if names else []


def _named(findings: Sequence[Finding], run: Path, folder: Path) -> list[Finding]:
    """Findings of a suite are named after their run as well."""
    return [f if run == folder else replace(f, title=f"{run.name}: {f.title}") for f in findings]


def _counted(findings: Sequence[Finding]) -> str:
    counts = {verdict: sum(f.verdict == verdict for f in findings) for verdict in (WORSE, UNTOLD, BETTER, HOLDS)}
    words = {WORSE: "worse", UNTOLD: "cannot be told", BETTER: "better", HOLDS: "hold"}
    return ", ".join(f"{count} {words[verdict]}" for verdict, count in counts.items() if count)
