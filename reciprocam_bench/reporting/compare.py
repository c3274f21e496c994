"""``comparison.csv`` and its text: paired differences of methods, with what can be told from them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from reciprocam_bench.config import as_tables_name_it
from reciprocam_bench.errors import UserError, did_you_mean
from reciprocam_bench.reporting.alike import check_alike, noted
from reciprocam_bench.reporting.paired import Difference, differences, holm
from reciprocam_bench.reporting.pairing import RUNS, Judged, Match, judged_of, matches
from reciprocam_bench.reporting.summary import check_agreement, doubts_of, unfinished
from reciprocam_bench.reporting.tables import readable_comparison
from reciprocam_bench.reporting.text import as_text, check_format
from reciprocam_bench.runfolder.disk import write_into
from reciprocam_bench.runfolder.record import RunRecord, read_record
from reciprocam_bench.runfolder.schema import COMPARISON, VERSION, Definitions
from reciprocam_bench.runfolder.suite import check_once, is_suite, run_folders
from reciprocam_bench.runfolder.tables import to_csv
from reciprocam_bench.titles import parse_title

LEVEL = 0.05
UNTOLD = "cannot be told"
_NUMBERS = ("value", "against_value", "difference", "low", "high")

Row = dict[str, Any]


def compare(
    folders: Sequence[Path],
    form: str,
    *,
    baseline: str | None = None,
    metrics: Sequence[str] = (),
    output: Path | None = None,
    width: int = 100,
) -> str:
    """Write ``comparison.csv`` into ``output``, or the first folder, and return it as text in a format of `report`.

    Of suites the runs of each backbone are compared with one another, in one table after another.

    Raises ``UserError`` for another format, an unknown baseline or metric, runs that are not alike, and where there are
    no two methods to compare.
    """
    check_format(form)
    groups = [[read_record(folder) for folder in group] for group in _groups(check_once(list(folders)))]
    tables = [comparison(records, baseline, metrics) for records in groups]
    text = to_csv(pd.concat(tables, ignore_index=True), "%.6g")
    write_into(output or folders[0], COMPARISON, text)
    if form == "csv":
        return text
    parts = []
    for records, table in zip(groups, tables, strict=True):
        definitions = Definitions(metrics={n: m for r in reversed(records) for n, m in r.definitions.metrics.items()})
        parts += [_text(records, part, definitions, form, width) for _, part in table.groupby(["protocol", "family"])]
    return "\n".join(parts)


def _groups(folders: Sequence[Path]) -> list[list[Path]]:
    """Which run folders are compared with one another: all, or of suites those of one backbone."""
    suites = [folder for folder in folders if is_suite(folder)]
    if not suites:
        return [list(folders)]
    single = next((folder for folder in folders if folder not in suites), None)
    if single is not None:
        raise UserError(
            f"{single} is a run, {suites[0]} a suite of runs; compare runs with runs, or suites with suites"
        )
    runs: dict[str, list[Path]] = {}
    for suite in suites:
        for folder in run_folders(suite):
            runs.setdefault(folder.name, []).append(folder)
    alone = next((name for name, group in runs.items() if len(group) < len(suites)), None)
    if alone is not None:
        raise UserError(f"'{alone}' is not a run of every suite; compare suites of the same backbones")
    return list(runs.values())


def comparison(records: Sequence[RunRecord], baseline: str | None = None, metrics: Sequence[str] = ()) -> pd.DataFrame:
    """A row a protocol, pair and metric: see ``docs/compare.md``; values, differences and intervals are in percent.

    Holm's adjustment is within one protocol and one question: methods against methods, or a method in several runs.
    """
    check_alike(records)
    chosen = _chosen(records, metrics)
    reference = _title_of(records, baseline)
    tables = [record.rows() for record in records]
    for record, rows in zip(records, tables, strict=True):
        check_agreement(record, rows)
    judged = judged_of(records, tables)
    table: list[Row] = []
    for protocol, ones in judged.items():
        found = list(matches(ones, reference))
        for family in dict.fromkeys(m.family for m in found):
            table += _family(records[0], protocol, [m for m in found if m.family == family], chosen)
    if not any(row["images"] for row in table):
        raise UserError(_why_nothing(records, judged, reference))
    return pd.DataFrame(table)


def _family(record: RunRecord, protocol: str, found: Sequence[Match], metrics: Sequence[str]) -> list[Row]:
    """The tests of one table; those without an image in common stand in it without values."""
    tests = [(match, name) for match in found for name in match.metrics if name in metrics]
    samples = [match.samples(name) for match, name in tests]
    made = iter(differences([pair for pair in samples if pair is not None], record.config.seed))
    results = [None if pair is None else next(made) for pair in samples]
    valued = sum(result is not None for result in results)
    adjusted = iter(holm([r.p for r in results if r is not None]))
    fixed: Row = {"backbone": record.config.backbone.model, "dataset": record.dataset, "protocol": protocol}
    fixed |= {VERSION: record.definitions.protocols[protocol].version}
    rows = []
    for (match, name), result in zip(tests, results, strict=True):
        up = match.first.record.metrics[name].higher_is_better
        row = fixed | {"family": match.family, "metric": name, "higher_is_better": up}
        row |= {"method": match.first.method, "run": match.first.run}
        row |= {"against": match.second.method, "against_run": match.second.run}
        p_holm = next(adjusted) if result else None
        row |= _numbers(result, match.left_out(name)) | {"p_holm": p_holm, "tests": valued}
        rows.append(row | {"verdict": verdict(result, p_holm, up)})
    return rows


def _numbers(result: Difference | None, left_out: int) -> Row:
    """The cells of one test."""
    if result is None:
        return {"images": 0, "left_out": left_out} | dict.fromkeys([*_NUMBERS, "p"])
    # Sums of equal values may differ in their last digits.
    rounded = {name: None if (value := getattr(result, name)) is None else round(value, 9) + 0.0 for name in _NUMBERS}
    return {"images": result.images, "left_out": left_out, **rounded, "p": result.p}


def verdict(result: Difference | None, p_holm: float | None, higher_is_better: bool | None) -> str:
    """``better`` or ``worse`` where the adjusted p-value is at most 0.05, ``cannot be told`` elsewhere.

    A metric of unknown direction is ``higher`` or ``lower``.
    """
    if result is None or p_holm is None or p_holm > LEVEL:
        return UNTOLD
    higher = result.difference > 0
    if higher_is_better is None:
        return "higher" if higher else "lower"
    return "better" if higher == higher_is_better else "worse"


def _chosen(records: Sequence[RunRecord], asked: Sequence[str]) -> list[str]:
    known = dict.fromkeys(name for record in records for name in record.metrics)
    for name in asked:
        if name not in known:
            raise UserError(f"--metric {name}: {_paths(records)} holds no such metric{did_you_mean(name, known)}")
    return [name for name in known if name in asked or not asked]


def _title_of(records: Sequence[RunRecord], baseline: str | None) -> str | None:
    """The baseline as the runs' tables name it: the same options in another order or under a label are the same."""
    if baseline is None:
        return None
    wanted = as_tables_name_it(baseline)
    known = dict.fromkeys(method.title for record in records for method in record.config.methods)
    if wanted in known:
        return str(wanted)
    for record in records:
        for title, method in record.definitions.methods.items():
            if title in known and {"name": method.name, **method.options} == parse_title(baseline):
                return title
    raise UserError(f"--baseline {baseline}: {_paths(records)} holds no such method{did_you_mean(baseline, known)}")


def _why_nothing(records: Sequence[RunRecord], judged: dict[str, list[Judged]], reference: str | None) -> str:
    methods = list(dict.fromkeys(one.method for ones in judged.values() for one in ones))
    if not methods:
        return f"{_paths(records)} holds no rows yet; run it first"
    if reference is not None and reference not in methods:
        return f"{_paths(records)} holds no rows of '{reference}' yet; run it first"
    if len(methods) == len(records) == 1:
        return f"{_paths(records)} holds one method, '{methods[0]}'; run it with one more, or give a second run folder"
    return f"{_paths(records)} hold no two methods with values of one metric on the same images; see per_image.csv"


def _text(records: Sequence[RunRecord], part: pd.DataFrame, definitions: Definitions, form: str, width: int) -> str:
    first = part.iloc[0]
    what = "one method in several runs" if first["family"] == RUNS else "methods"
    tests = f"{first['tests']} test" + ("" if first["tests"] == 1 else "s")
    title = (
        f"{first['backbone']} on {first['dataset']}, paired differences of {what} in percentage points "
        f"(protocol {first['protocol']}); {tests}, p adjusted by Holm{unfinished(records)}"
    )
    if first["family"] == RUNS and (differing := noted(records)):
        title += f"; the runs differ in {differing}"
    doubts = (doubt for record in records for doubt in doubts_of(record, record.rows(), [first["protocol"]]))
    table = readable_comparison(part, definitions)
    label = "-".join(["compare", *(str(first[key]) for key in ("family", "backbone", "protocol"))])
    return as_text(table, title, list(dict.fromkeys(doubts)), form, width, label)


def _paths(records: Sequence[RunRecord]) -> str:
    return ", ".join(str(record.path) for record in records)
