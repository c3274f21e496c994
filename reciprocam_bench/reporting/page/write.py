"""``rcam-bench report --format html``: the page of run folders, and their plots as files."""

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reciprocam_bench.config import dump_config
from reciprocam_bench.reporting.claims import judged_under
from reciprocam_bench.reporting.page.card import card
from reciprocam_bench.reporting.page.cells import Table, from_readable, summary_table
from reciprocam_bench.reporting.page.collect import Claims, Run, claims_of, read_runs
from reciprocam_bench.reporting.page.gallery import PICTURE_BYTES, gallery
from reciprocam_bench.reporting.tables import readable_claims, readable_comparison, readable_timing
from reciprocam_bench.runfolder.disk import write_into
from reciprocam_bench.runfolder.schema import PLOTS, REPORT
from reciprocam_bench.version import __version__

if TYPE_CHECKING:
    from reciprocam_bench.reporting.plots.style import Plot

_MOST_TESTS = 600  # rows of a table of comparisons; beyond, those of the main metric
_FILES = files("reciprocam_bench.reporting.page") / "files"


def write_page(folders: Sequence[Path]) -> Path:
    """Write ``report.html`` into the first folder, and the plots of each run into its ``plots/``; returns the page.

    Raises ``UserError`` for folders that are no runs, are damaged, cannot stand together, or cannot be written.
    """
    from reciprocam_bench.reporting.plots.style import CURE

    runs = read_runs(folders)
    page = render(runs)
    write_into(folders[0], REPORT, page, CURE)
    return folders[0] / REPORT


def render(runs: Sequence[Run]) -> str:
    """The page as text; plots are written as files on the way."""
    environment = Environment(
        loader=PackageLoader("reciprocam_bench.reporting.page", "files"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    script = (_FILES / "page.js").read_text("utf-8")
    shown = [(run, protocol) for run in runs for protocol in run.protocols]
    galleries = [g for one in shown if (g := gallery(*one, PICTURE_BYTES // len(shown))) is not None]
    colours = _colour_maps() if galleries else {}
    return environment.get_template("page.html.j2").render(
        title=_title(runs),
        version=__version__,
        style=Markup((_FILES / "page.css").read_text("utf-8")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii"),
        notes=[(run.name, run.notes) for run in runs if run.notes],
        summary=summary_table(runs) if any(len(run.summary) for run in runs) else None,
        claims=[(c.citation + judged_under(c.table), list(_claims(c)), c.notes) for c in claims_of(runs)],
        runs=[_of_run(run, place) for place, run in enumerate(runs)],
        several=len(runs) > 1,
        galleries=galleries,
        data=Markup(_json({"galleries": galleries, "colours": colours})),
    )


def _claims(found: Claims) -> Iterator[tuple[str, Table | None, int]]:
    """Each claim: its text, what was measured of it, and how many places were not."""
    for text, places in found.places.items():
        part = found.table[found.table["claim"] == text]
        table = readable_claims(part).drop(columns="claim") if len(part) else None
        if table is not None:
            for name in ("detail", "verdict"):  # first what is to be read first
                table.insert(0, name, table.pop(name))
            table = table.loc[:, (table != "").any()]
        yield text, None if table is None else from_readable(table, text), places - len(part)


def _of_run(run: Run, place: int) -> dict[str, Any]:
    return {
        "name": run.name,
        "comparison": _comparison(run),
        "comparison_title": _comparison_title(run),
        "why_not_compared": run.why_not_compared,
        "timing": from_readable(readable_timing(run.timing), "Times of a call") if len(run.timing) else None,
        "plots": list(_drawn(run, place)),
        "skipped": from_readable(run.skipped, "What was skipped, and why") if len(run.skipped) else None,
        "card": card(run),
        "config": dump_config(run.record.config),
    }


def _comparison_title(run: Run) -> str:
    metrics = run.comparison["metric"].nunique() if len(run.comparison) else 0
    if len(run.comparison) <= _MOST_TESTS or metrics < 2 or not run.main_metric:
        return "Paired differences of all metrics, with verdicts"
    return (
        f"Paired differences in {run.metrics[run.main_metric].title}, with verdicts (1 of {metrics} metrics; "
        "rcam-bench compare has all)"
    )


def _comparison(run: Run) -> Table | None:
    if run.comparison.empty:
        return None
    part = run.comparison
    if len(part) > _MOST_TESTS:
        part = part[part["metric"] == run.main_metric]
    table = readable_comparison(part, run.record.definitions)
    if part["protocol"].nunique() > 1:
        table.insert(0, "protocol", part["protocol"])
    return from_readable(table, "Paired differences in percentage points")


def _drawn(run: Run, place: int) -> Iterator[dict[str, Any]]:
    """Draw, save and embed the plots of a run."""
    from reciprocam_bench.reporting.plots.style import PLOT_NAMES, inline, save

    several, written = len(run.protocols) > 1, set()
    for protocol, plot in _plots(run):
        name = f"{plot.name}_{protocol}" if protocol and several else plot.name
        save(plot, run.record.path / PLOTS, name)
        written.add(name)
        title = f"{plot.title} ({protocol})" if protocol and several else plot.title
        svg = Markup(inline(plot, f"r{place}-{name}"))
        yield {"id": f"r{place}-{name}", "title": title, "caption": plot.caption, "svg": svg, "wide": plot.wide}
    # Of an earlier page, which nothing would tell from this one's.
    ends = ("", *(f"_{name}" for name in run.record.definitions.protocols))
    for name in {f"{plot}{end}" for plot in PLOT_NAMES for end in ends} - written:
        for ending in (".png", ".svg"):
            (run.record.path / PLOTS / f"{name}{ending}").unlink(missing_ok=True)


def _plots(run: Run) -> Iterator[tuple[str, "Plot"]]:
    """Plots of a run with the protocol that each is of."""
    from reciprocam_bench.reporting.plots.agreement_plot import agreement_plot
    from reciprocam_bench.reporting.plots.curves import curves_plot
    from reciprocam_bench.reporting.plots.quality import differences_plot, distributions_plot, metrics_plot
    from reciprocam_bench.reporting.plots.times import rounds_plot, trade_plot

    found: list[tuple[str, Plot | None]] = []
    for protocol in run.protocols:
        summary, main = run.of(protocol), run.main_metric
        rows = run.rows[run.rows["protocol"] == protocol]
        if main and len(run.timing):
            found.append((protocol, trade_plot(summary, run.timing, main, run.metrics[main])))
        found.append((protocol, metrics_plot(summary, run.metrics)))
        if main and len(run.comparison):
            tests = run.comparison[run.comparison["protocol"] == protocol]
            found.append((protocol, differences_plot(tests, main, run.metrics[main])))
        found.append((protocol, distributions_plot(rows, list(summary["method"]), run.metrics)))
        found.append((protocol, curves_plot(rows, list(summary["method"]), run.metrics)))
    if len(run.agreement):
        parts = run.agreement.groupby("protocol", sort=False)
        found += [("" if len(parts) == 1 else str(name), agreement_plot(part)) for name, part in parts]
    if len(run.rounds):
        found.append(("", rounds_plot(run.rounds)))
    yield from ((protocol, plot) for protocol, plot in found if plot is not None)


def _colour_maps() -> dict[str, list[str]]:
    """Sixteen steps of each colour map that the gallery offers, the first being its own choice."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    steps = [i / 15 for i in range(16)]
    return {name: [to_hex(colormaps[name](x)) for x in steps] for name in ("viridis", "inferno", "jet")}


def _breakable(text: str) -> Markup:
    """A title that may break before its options, which is better than inside a word."""
    return Markup("<wbr>[").join(text.split("["))


def _title(runs: Sequence[Run]) -> str:
    networks = list(dict.fromkeys(run.record.config.backbone.model for run in runs))
    datasets = list(dict.fromkeys(run.record.dataset for run in runs))
    network = f"{len(networks)} backbones" if len(networks) > 3 else ", ".join(networks)
    return f"{network} on {', '.join(datasets)}"


def _json(content: Any) -> str:
    """JSON that may stand in a script element: what could end it, or begin a comment, is written as an escape."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
