"""A paper's claims, judged by paired differences and measured calls."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import pandas as pd

from reciprocam_bench.protocols.papers import BestClaim, DifferenceClaim, Paper, SpeedupClaim
from reciprocam_bench.protocols.published import printed
from reciprocam_bench.reporting.alike import check_alike
from reciprocam_bench.reporting.paired import Difference, Pair, differences, holm
from reciprocam_bench.reporting.pairing import METHODS, Judged, Match, judged_of
from reciprocam_bench.reporting.paper_cells import protocols_of
from reciprocam_bench.reporting.paper_runs import Runs, Timed, is_variant
from reciprocam_bench.reporting.verdicts import (
    FAILS,
    HOLDS,
    MISSING,
    inside,
    of_all,
    of_difference,
    of_rival,
    of_speedup,
)
from reciprocam_bench.runfolder.record import RunRecord
from reciprocam_bench.runfolder.schema import MethodDefinition
from reciprocam_bench.speedup import speedup_of_calls
from reciprocam_bench.titles import parse_title

ALL = "all of these"
COLUMNS = (
    *("claim", "kind", "protocol", "dataset", "backbone", "method", "against", "metric", "images"),
    *("published", "ours", "low", "high", "p_holm", "published_inside", "verdict", "detail"),
)

Row = dict[str, Any]
Quality = DifferenceClaim | BestClaim


@dataclass(frozen=True, eq=False)
class _Place:
    """What runs hold of one data set and backbone, by protocol."""

    dataset: str
    backbone: str
    judged: dict[str, list[Judged]]
    seed: int


def judged_under(table: pd.DataFrame) -> str:
    """``; judged under protocol …`` where all of a table of claims was; of several protocols it has a column."""
    names = set(table["protocol"].dropna()) if len(table) else set()
    return f"; judged under protocol {names.pop()}" if len(names) == 1 else ""


def claims(paper: Paper, runs: Runs) -> pd.DataFrame:
    """A row a claim and place that it is made of, and one for all places; values in percentage points, or times.

    Where the paper leaves open which of our variants it means, the claim is judged for each that was measured.
    ``UserError`` where runs of one network cannot be compared with one another.
    """
    places = _places(paper, runs)
    rows: list[Row] = []
    for claim in paper.claims:
        if isinstance(claim, SpeedupClaim):
            rows += [{"claim": claim.text, "kind": claim.kind} | row for row in _speedups(claim, runs.timed)]
            continue
        for protocol in protocols_of(paper, runs):
            fixed = {"claim": claim.text, "kind": claim.kind, "protocol": protocol, "metric": claim.metric}
            rows += [fixed | row for row in _of_quality(paper, claim, protocol, places)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _places(paper: Paper, runs: Runs) -> list[_Place]:
    found = []
    for dataset, backbone in product(paper.datasets, paper.backbones):
        here = [r for r in runs.beside if (r.dataset, r.backbone) == (dataset.id, backbone.id)]
        records = [r.record for r in here]
        if records:
            check_alike(records)
        judged = judged_of(records, [r.rows for r in here]) if records else {}
        usable = {(r.record.path, protocol) for r in here for protocol in r.protocols}
        kept = {p: [one for one in ones if (one.record.path, p) in usable] for p, ones in judged.items()}
        found.append(_Place(dataset.id, backbone.id, kept, records[0].config.seed if records else 0))
    return found


def _of_quality(paper: Paper, claim: Quality, protocol: str, places: Sequence[_Place]) -> Iterator[Row]:
    """The rows of one claim under one protocol, for each variant that was measured."""
    asked = [place for place in places if not claim.backbones or place.backbone in claim.backbones]
    variants = paper.method(claim.method).variants
    held = [v for v in variants if any(_held(place.judged.get(protocol, ()), v) for place in asked)]
    for variant in held or variants[:1]:
        rows = [_judged(paper, claim, variant, place, protocol) for place in asked]
        yield from rows
        if len(rows) > 1:
            verdicts = [row["verdict"] for row in rows]
            counts = ", ".join(f"{verdicts.count(word)} {word}" for word in dict.fromkeys(verdicts))
            yield {"backbone": ALL, "method": variant, "verdict": of_all(verdicts), "detail": counts}


def _judged(paper: Paper, claim: Quality, variant: str, place: _Place, protocol: str) -> Row:
    if isinstance(claim, DifferenceClaim):
        return _difference(paper, claim, variant, place, protocol)
    return _best(paper, claim, variant, place, protocol)


def _difference(paper: Paper, claim: DifferenceClaim, variant: str, place: _Place, protocol: str) -> Row:
    judged, column = place.judged.get(protocol, []), paper.column(claim.metric)
    overs = paper.method(claim.over).variants
    over = next((v for v in overs if _held(judged, v)), overs[0])
    pair = _pair(judged, variant, over, claim.metric)
    result = next(iter(differences([pair], place.seed)), None) if pair else None
    value = _printed(paper, claim.method, place, claim.metric) - _printed(paper, claim.over, place, claim.metric)
    detail = "" if pair else _why_missing(judged, [variant, over])
    row = _head(place, variant, over, value, result) | {"detail": detail}
    return row | {"verdict": of_difference(result, column.better == "higher")}


def _best(paper: Paper, claim: BestClaim, variant: str, place: _Place, protocol: str) -> Row:
    """Against every other row of the table; values are those against the rival that comes closest."""
    judged, column = place.judged.get(protocol, []), paper.column(claim.metric)
    others = [m for m in paper.methods if m.id != claim.method]
    rivals = [v for m in others for v in ([v for v in m.variants if _held(judged, v)] or m.variants[:1])]
    pairs = {rival: pair for rival in rivals if (pair := _pair(judged, variant, rival, claim.metric))}
    results = dict(zip(pairs, differences(list(pairs.values()), place.seed), strict=True))
    adjusted = dict(zip(results, holm([r.p for r in results.values()]), strict=True))
    up = column.better == "higher"
    verdicts = {rival: of_rival(results.get(rival), adjusted.get(rival), up) for rival in rivals}
    nearest = min(results, key=lambda rival: column.sign * results[rival].difference, default="")
    mine = _printed(paper, claim.method, place, claim.metric)
    gains = [column.sign * (mine - _printed(paper, m.id, place, claim.metric)) for m in others]
    row = _head(place, variant, nearest, column.sign * min(gains), results.get(nearest))
    detail = _sorted_out(verdicts) if results else _why_missing(judged, [variant, *rivals])
    # The published margin is over the best in print, which need not be the rival that comes closest here.
    row |= {"p_holm": adjusted.get(nearest), "published_inside": "", "detail": detail}
    return row | {"verdict": of_all(list(verdicts.values()))}


def _head(place: _Place, variant: str, against: str, published: float, result: Difference | None) -> Row:
    row: Row = {"dataset": place.dataset, "backbone": place.backbone, "method": variant, "against": against}
    row["published"] = round(published, 2)
    if result is None:
        return row
    within = inside(row["published"], result.low, result.high)
    values = {"ours": result.difference, "low": result.low, "high": result.high}
    return row | values | {"images": result.images, "published_inside": within}


def _sorted_out(verdicts: dict[str, str]) -> str:
    words = {HOLDS: "better than", FAILS: "worse than", MISSING: f"{MISSING}:"}
    found = []
    for word in dict.fromkeys(verdicts.values()):
        rivals = ", ".join(rival for rival, mine in verdicts.items() if mine == word)
        found.append(f"{words.get(word, 'cannot be told from')} {rivals}")
    return "; ".join(found)


def _why_missing(judged: Sequence[Judged], variants: Sequence[str]) -> str:
    if not judged:
        return "no run of this network"
    missing = [variant for variant in variants if not _held(judged, variant)]
    return f"no run of {', '.join(missing)}" if missing else "no images in common that have the metric"


def _held(judged: Sequence[Judged], variant: str) -> list[Judged]:
    return [one for one in judged if is_variant(one.record.definitions.methods[one.method], variant)]


def _pair(judged: Sequence[Judged], variant: str, against: str, metric: str) -> Pair | None:
    """The samples of two variants on the same trials, of one run where one holds both, and of that with most images.

    None where there are none.
    """
    both = list(product(_held(judged, variant), _held(judged, against)))
    both.sort(key=lambda pair: (pair[0].run != pair[1].run, -min(len(one.images) for one in pair)))
    for first, second in both:
        match = Match(METHODS, first, second)
        if metric in match.metrics and (samples := match.samples(metric)):
            return samples
    return None


def _printed(paper: Paper, method: str, place: _Place, metric: str) -> float:
    return printed(paper.name)[place.dataset, place.backbone, method].values[metric]


def _speedups(claim: SpeedupClaim, timed: Sequence[Timed]) -> Iterator[Row]:
    """A row for each of the claim's pairs that a run timed; one that says so where no run of a network timed any."""
    wanted = {"published": claim.times}
    if not timed:
        yield wanted | _untimed(claim) | {"backbone": "any", "detail": "no run was timed"}
    found = [(run, list(_timed_pairs(claim, run))) for run in timed]
    measured = {run.backbone for run, rows in found if rows}
    for run, rows in found:
        if not rows and run.backbone not in measured:
            rows = [_untimed(claim) | {"detail": f"{run.record.path} times no such pair in common rounds"}]
        yield from (wanted | {"backbone": run.backbone} | row for row in rows)


def _untimed(claim: SpeedupClaim) -> Row:
    return {"method": claim.method[0], "against": claim.over[0], "verdict": MISSING}


def _timed_pairs(claim: SpeedupClaim, run: Timed) -> Iterator[Row]:
    here = run.calls[(run.calls["scope"] == claim.scope) & (run.calls["batch_size"] == claim.batch_size)]
    calls = {str(title): group for title, group in here.groupby("method", sort=False)}
    for method, over in product(claim.method, claim.over):
        mine, other = (next((t for t in calls if _is_timed(run.record, t, w)), None) for w in (method, over))
        found = speedup_of_calls(calls[other], calls[mine]) if mine is not None and other is not None else None
        if found is None:
            continue
        ratio, low, high = found
        device = run.record.environment.fingerprint.get("device", "device not known")
        detail = f"{claim.scope}, batch {claim.batch_size}, {device}"
        yield {"method": method, "against": over, "ours": ratio, "low": low, "high": high, "detail": detail} | {
            "published_inside": inside(claim.times, low, high),
            "verdict": of_speedup(low, high, claim.times),
        }


def _is_timed(record: RunRecord, title: str, wanted: str) -> bool:
    """Whether a timed method is the one of this very title: another path is another implementation."""
    config = record.config
    named = [*((config.timing.methods if config.timing else None) or ()), *config.methods]
    known = {m.title: MethodDefinition(name=m.name, options=m.options) for m in reversed(named)}
    method = (known | record.definitions.methods).get(title)
    return method is not None and {"name": method.name, **method.options} == parse_title(wanted)
