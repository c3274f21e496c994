"""Which method for which need: what the committed runs measured, as a part of docs/which_method.md."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from reciprocam_bench.explainers.registry import EXPLAINERS, ExplainerSpec
from reciprocam_bench.reporting.compare import UNTOLD, verdict
from reciprocam_bench.reporting.paired import differences, holm
from reciprocam_bench.reporting.pairing import judged_of, matches
from reciprocam_bench.reporting.tables import three_digits, to_markdown
from reciprocam_bench.runfolder.record import RunRecord, read_record
from reciprocam_bench.runfolder.schema import CONFIG, SUMMARY, TIMING
from reciprocam_bench.runfolder.suite import is_suite, run_folders
from reciprocam_bench.speedup import speedup_of_calls

BLACK_BOX = ("rise", "blackboxreciprocam")  # they only call the network
NOT_MEASURED = "not measured"
_DIFFICULT = "_difficult"
_SHOWN = 5  # methods in a cell
_ARROWS = {True: "↑", False: "↓", None: ""}


@dataclass(frozen=True)
class Need:
    """What somebody wants of a method.

    Attributes:
        title: of its part of the page.
        why: what is measured, and what that has to do with the need.
        metrics: columns of ``summary.csv``, the first the one that the short table shows.
        fits: whether a method is one that can be had.
    """

    title: str
    why: str
    metrics: tuple[str, ...]
    fits: Callable[[ExplainerSpec], bool] = lambda spec: True


NEEDS = (
    Need(
        "Another class has another map",
        "The pointing game's difficult pictures show a small object of the class explained beside others: a map that "
        "does not ask for the class misses it. Random logit is how alike the maps of two classes are.",
        ("pointing_game_difficult", "random_logit"),
    ),
    Need(
        "The heat lies on the object",
        "The pointing game, and the share of the highest pixels that lie on the object; on `synthetic` the object is "
        "all of the evidence.",
        ("pointing_game", "relevance_rank_accuracy"),
    ),
    Need(
        "No gradients",
        "Methods that differentiate nothing, as a network that was exported wants them.",
        ("adcc", "relevance_rank_accuracy"),
        lambda spec: not spec.gradients,
    ),
    Need(
        "A black box",
        "Methods that only call the network, which then need not be split.",
        ("adcc", "relevance_rank_accuracy"),
        lambda spec: spec.name in BLACK_BOX,
    ),
)


@dataclass(frozen=True)
class Run:
    """A run folder, and its tables, read once."""

    record: RunRecord
    summary: pd.DataFrame | None
    rows: pd.DataFrame | None
    timing: pd.DataFrame | None

    @classmethod
    def read(cls, folder: Path) -> "Run":
        """The tables that it has; ``UserError`` for a damaged one."""
        record = read_record(folder)
        summary = record.summary()
        return cls(record, summary, None if summary is None else record.rows(), record.timing())


@dataclass(frozen=True)
class Found:
    """What one run says of one need.

    Attributes:
        run: the run folder's name.
        what: network, data set and protocol.
        images: how many were judged.
        by: the metric's title with its arrow.
        best: the method of the best value, with the value and its interval.
        untold: the methods that the paired comparison cannot tell from it, with their values.
        worse: those that it can.
    """

    run: str
    what: str
    images: int
    by: str
    best: str
    untold: list[str]
    worse: list[str]

    @property
    def among_best(self) -> list[str]:
        """The methods that are the best here as far as can be told."""
        return [text.rpartition(" ")[0] for text in (self.best.partition(" (")[0], *self.untold)]

    @property
    def judged(self) -> list[str]:
        """All methods that were compared."""
        return self.among_best + [text.rpartition(" ")[0] for text in self.worse]

    @property
    def cells(self) -> dict[str, str]:
        """The row of a table."""
        row = {"network, data, protocol": self.what, "images": f"{self.images:.0f}", "by": self.by, "best": self.best}
        return row | {"not told from it": _listed(self.untold), "worse": _listed(self.worse), "run": self.run}


def choice(results: Path) -> str:
    """A short table that counts over all runs, then for each need what every run found, those of most images first."""
    runs = [Run.read(folder) for folder in folders(results)]
    short, parts = [], []
    for need in NEEDS:
        tables = {metric: sorted(found(runs, need, metric), key=lambda f: -f.images) for metric in need.metrics}
        short.append({"need": need.title} | _counted(tables[need.metrics[0]]))
        missing = [f"`{metric}`" for metric, rows in tables.items() if not rows]
        rows = [f.cells for table in tables.values() for f in table]
        told = f"{need.why} {', '.join(missing)}: {NOT_MEASURED}.\n" if missing else f"{need.why}\n"
        parts.append(f"## {need.title}\n\n{told}\n{to_markdown(pd.DataFrame(rows)) if rows else ''}")
    times = quickest(runs)
    short += [{"need": f"Quick, on a {where}"} | _quick(runs, where) for where in ("CPU", "GPU")]
    why = "Images to maps, one image at a time; *passes* is the call in passes of the network alone (95 % interval).\n"
    parts.append(f"## Quick\n\n{why}\n{to_markdown(times) if len(times) else NOT_MEASURED}")
    return "\n".join([to_markdown(pd.DataFrame(short)), *parts])


def folders(results: Path) -> Iterator[Path]:
    """The run folders under a folder of results, those of suites too, that hold something to choose by."""
    for top in sorted(path for path in results.iterdir() if path.is_dir()):
        for folder in run_folders(top):
            if (folder / CONFIG).exists() and ((folder / SUMMARY).exists() or (folder / TIMING).exists()):
                yield folder


def found(runs: list[Run], need: Need, metric: str) -> Iterator[Found]:
    """What the runs that hold a metric say of a need, a protocol at a time."""
    for run in runs:
        base = metric.removesuffix(_DIFFICULT)
        if run.summary is None or run.rows is None or metric not in run.summary or base not in run.record.metrics:
            continue
        rows = run.rows[run.rows["difficult"] == "1"] if metric != base else run.rows
        for protocol, table in run.summary.dropna(subset=[metric]).groupby("protocol", sort=False):
            table = table[[_fits(run.record, title, need.fits) for title in table["method"]]]
            if len(table):
                yield _found(run.record, str(protocol), rows, metric, base, table)


def _found(record: RunRecord, protocol: str, rows: pd.DataFrame, metric: str, base: str, table: pd.DataFrame) -> Found:
    definition = record.metrics[base]
    table = table.sort_values(metric, ascending=not definition.higher_is_better, kind="stable")
    best = table.iloc[0]
    equal = untold(record, rows, protocol, base, list(table["method"]))
    values = {row["method"]: f"{row['method']} {row[metric]:.2f}" for _, row in table.iloc[1:].iterrows()}
    subset = ", difficult" if metric != base else ""
    return Found(
        run=_run_name(record),
        what=f"{record.config.backbone.model}, {record.dataset}, {protocol}",
        images=_judged(rows, protocol, str(best["method"]), definition.columns[0]),
        by=f"{definition.title}{subset} {_ARROWS[definition.higher_is_better]}".rstrip(),
        best=f"{best['method']} {best[metric]:.2f} ({best[f'{metric}_low']:.2f} to {best[f'{metric}_high']:.2f})",
        untold=[text for method, text in values.items() if method in equal],
        worse=[text for method, text in values.items() if method not in equal],
    )


def _judged(rows: pd.DataFrame, protocol: str, method: str, column: str) -> int:
    """How many images a value is made of: without annotated objects an image has none of localisation."""
    mine = rows[(rows["protocol"] == protocol) & (rows["method"] == method)]
    return int(mine.loc[mine[column].notna(), "image"].nunique())


def untold(record: RunRecord, rows: pd.DataFrame, protocol: str, metric: str, methods: list[str]) -> set[str]:
    """Those methods that cannot be told from the first, as `compare` decides, adjusted for these tests."""
    judged = [one for one in judged_of([record], [rows]).get(protocol, []) if one.method in methods]
    tests = [(match.first.method, match.samples(metric)) for match in matches(judged, methods[0])]
    made = differences([pair for _, pair in tests if pair is not None], record.config.seed)
    adjusted = holm([difference.p for difference in made])
    results = iter(zip(made, adjusted, strict=True))
    up = record.metrics[metric].higher_is_better
    verdicts = {method: UNTOLD if pair is None else verdict(*next(results), up) for method, pair in tests}
    return {method for method, told in verdicts.items() if told == UNTOLD}


def quickest(runs: list[Run]) -> pd.DataFrame:
    """A row a run that was timed: its quickest methods, images to maps, at its smallest batch."""
    rows = []
    for run in runs:
        table = _timed(run)
        if len(table):
            first = table.iloc[0]
            others = [f"{row['method']} {three_digits(row['median_ms'])} ms" for _, row in table.iloc[1:].iterrows()]
            network = run.record.config.backbone.model
            where = {"network": network, "device": _device(run.record), "quickest": first["method"]}
            time = {"median ms": three_digits(first["median_ms"]), "passes": _passes(first)}
            rows.append(where | time | {"then": _listed(others), "run": _run_name(run.record)})
    return pd.DataFrame(rows)


def _timed(run: Run) -> pd.DataFrame:
    """The methods of a run that were timed from images to maps at its smallest batch, the quickest first."""
    if run.timing is None:
        return pd.DataFrame()
    table = _end_to_end(run.timing)
    table = table[[_fits(run.record, title, lambda spec: True) for title in table["method"]]]
    return table.dropna(subset=["median_ms"]).sort_values("median_ms", kind="stable")


def _end_to_end(times: pd.DataFrame) -> pd.DataFrame:
    """Times from images to maps at the smallest batch."""
    return times[(times["scope"] == "end-to-end") & (times["batch_size"] == times["batch_size"].min())]


def _run_name(record: RunRecord) -> str:
    """Its folder's name, behind that of its suite if it is of one."""
    suite = record.path.parent
    return f"{suite.name}/{record.path.name}" if is_suite(suite) else record.path.name


def _device(record: RunRecord) -> str:
    return str((record.environment.model_extra or {}).get("device", ""))


def _passes(row: pd.Series) -> str:
    if pd.isna(row.get("forwards")):
        return ""
    found = [three_digits(row[name]) for name in ("forwards", "forwards_low", "forwards_high")]
    return f"{found[0]} ({found[1]} to {found[2]})"


def _fits(record: RunRecord, title: str, fits: Callable[[ExplainerSpec], bool]) -> bool:
    """Whether a row is of a method of this package that explains, and that the need lets through."""
    known = record.definitions.methods.get(title)
    spec = EXPLAINERS.all().get(known.name if known else title.partition("[")[0])
    return spec is not None and not spec.control and fits(spec)


def _counted(rows: list[Found]) -> dict[str, str]:
    """The row of the short table: how often each method is the best as far as can be told, where there is a choice.

    Of several runs that asked a method the same, that of most images counts.
    """
    rows = sorted((row for row in rows if len(row.judged) > 1), key=lambda row: -row.images)
    if not rows:
        return _short(NOT_MEASURED)
    judged: Counter[str] = Counter()
    best: Counter[str] = Counter()
    asked: set[tuple[str, str]] = set()
    for row in rows:
        fresh = [method for method in row.judged if (row.what, method) not in asked]
        asked |= {(row.what, method) for method in fresh}
        judged.update(fresh)
        best.update(method for method in fresh if method in row.among_best)
    images = " to ".join(f"{n}" for n in dict.fromkeys([rows[-1].images, rows[0].images]))
    compared = f"{len({row.what for row in rows})} of {images} images"
    return _short(_ranked(best, judged), rows[0].by, compared)


def _quick(runs: list[Run], where: str) -> dict[str, str]:
    """The row of the short table: what cannot be told from the quickest, round by round, in runs on such a device."""
    judged: Counter[str] = Counter()
    best: Counter[str] = Counter()
    compared = 0
    for run in runs:
        table = _timed(run)
        rounds = run.record.timing_rounds()
        if len(table) < 2 or rounds is None or _device(run.record).startswith("cpu") != (where == "CPU"):
            continue
        of_method = dict(iter(_end_to_end(rounds).groupby("method")))
        compared += 1
        judged.update(table["method"])
        first = str(table["method"].iloc[0])
        best.update(m for m in table["method"] if m == first or not _slower(of_method.get(m), of_method.get(first)))
    if not compared:
        return _short(NOT_MEASURED)
    return _short(_ranked(best, judged), "time", f"{compared} timed")


def _ranked(best: Counter[str], judged: Counter[str]) -> str:
    """``cam 4 of 6, …``: those that are among the best most often first."""
    methods = sorted(best, key=lambda method: (-best[method] / judged[method], -judged[method]))
    return _listed([f"{method} {best[method]} of {judged[method]}" for method in methods])


def _slower(calls: pd.DataFrame | None, of_first: pd.DataFrame | None) -> bool:
    """Whether rounds of one process tell that a method is slower than the quickest."""
    found = None if calls is None or of_first is None else speedup_of_calls(calls, of_first)
    return found is not None and found[1] is not None and found[1] > 1


def _short(best: str, by: str = "", compared: str = "") -> dict[str, str]:
    return {"the best, as far as can be told": best, "by": by, "comparisons": compared}


def _listed(methods: list[str]) -> str:
    more = f" and {len(methods) - _SHOWN} more" if len(methods) > _SHOWN else ""
    return ", ".join(methods[:_SHOWN]) + more
