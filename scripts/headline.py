"""Is Recipro-CAM better than Score-CAM and Grad-CAM, by how much, how sure, and how fast? One table of committed runs.

`update_readme.py` writes it into the README, from every run and suite that `rcam-bench compare` was asked of, for the
networks and protocols that Score-CAM was judged with.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from reciprocam_bench.reporting.tables import three_digits, to_markdown
from reciprocam_bench.runfolder.record import RunRecord, read_record
from reciprocam_bench.runfolder.schema import COMPARISON, CONFIG, ENVIRONMENT, TIMING_ROUNDS
from reciprocam_bench.runfolder.suite import is_suite
from reciprocam_bench.speedup import speedup_of_calls

RIVALS = ("scorecam", "gradcam")
NOT_MEASURED = "not measured"


def headline(results: Path, linked: str = "results") -> str:
    """The table in Markdown, and whose runs it is made of; ``linked`` is where a page finds the results.

    Of several runs that compare the same two methods of a network under a protocol, that of most images is shown.
    """
    compared = pd.concat([pd.DataFrame(columns=["against"]), *_comparisons(results)], ignore_index=True)
    asked = compared[compared["against"] == RIVALS[0]]
    if asked.empty:
        return f"Score-CAM: {NOT_MEASURED}.\n"
    timed = _timed(results)
    rows, judged, measured = [], {}, {}
    for (network, protocol), _ in asked.groupby(["backbone", "protocol"], sort=False):
        ones = compared[(compared["backbone"] == network) & (compared["protocol"] == protocol)]
        ones = ones.sort_values("images", ascending=False, kind="stable").drop_duplicates("against")
        for row in ones.sort_values("against", ascending=False).to_dict("records"):
            times, record = _times(timed.get(network, []), row["against"], row["run of"])
            rows.append(_row(row) | {"times as fast": times})
            judged[row["run of"]] = None
            measured |= {record.path.name: record} if record else {}
    sources = ", ".join(f"[{name}]({linked}/{name})" for name in judged)
    clocks = ", ".join(f"[{name}]({linked}/{name}) ({_where(record)})" for name, record in measured.items())
    return f"{to_markdown(pd.DataFrame(rows))}\nADCC from {sources}; times from {clocks or 'no run'}.\n"


def _comparisons(results: Path) -> Iterator[pd.DataFrame]:
    """What runs, and then suites, say of ADCC of Recipro-CAM against the two."""
    for path in sorted(results.glob(f"*/{COMPARISON}"), key=lambda path: (is_suite(path.parent), path)):
        if not is_suite(path.parent) and not (path.parent / CONFIG).is_file():  # results/peers compares times
            continue
        table = pd.read_csv(path)
        ours = table[(table["metric"] == "adcc") & (table["method"] == "reciprocam") & table["against"].isin(RIVALS)]
        yield ours.assign(**{"run of": path.parent.name})


def _timed(results: Path) -> dict[str, list[RunRecord]]:
    """The runs of each network that were timed."""
    found: dict[str, list[RunRecord]] = {}
    for path in sorted(results.glob(f"*/{TIMING_ROUNDS}")):
        if (path.parent / CONFIG).is_file():
            record = read_record(path.parent)
            found.setdefault(record.config.backbone.model, []).append(record)
    return found


def _where(record: RunRecord) -> str:
    """What the times are of."""
    facts = json.loads((record.path / ENVIRONMENT).read_text("utf-8"))
    threads = facts["threads"]
    return f"{facts['device']}, {threads} {'thread' if threads == 1 else 'threads'}"


def _row(row: dict[str, Any]) -> dict[str, object]:
    return {
        "network": row["backbone"],
        "protocol": row["protocol"],
        "images": f"{row['images']:.0f}",
        "Recipro-CAM against": row["against"],
        "ADCC": f"{row['value']:.2f}",
        "its ADCC": f"{row['against_value']:.2f}",
        "difference (95 % interval)": f"{row['difference']:+.2f} ({row['low']:+.2f} to {row['high']:+.2f})",
        "in a word": row["verdict"],
    }


def _times(records: list[RunRecord], rival: str, judged: str) -> tuple[str, RunRecord | None]:
    """From images to maps, rounds of one process against one another, and whose they are.

    That is the run that was judged, else the one of the narrowest interval.
    """
    found: dict[tuple[bool, float], tuple[str, RunRecord | None]] = {}
    for record in records:
        rounds = record.timing_rounds()
        if rounds is None or not {*RIVALS, "reciprocam"} <= {*rounds["method"]}:
            continue
        calls = rounds[(rounds["scope"] == "end-to-end") & (rounds["batch_size"] == rounds["batch_size"].min())]
        ratios = speedup_of_calls(*(calls[calls["method"] == name] for name in (rival, "reciprocam")))
        if ratios is not None:
            ratio, low, high = ratios
            shown = [three_digits(value) for value in (ratio, low, high)]
            text = shown[0] + ("" if low is None else f" ({shown[1]} to {shown[2]})")
            spread = math.inf if low is None or high is None else high / low
            found.setdefault((record.path.name != judged, spread), (text, record))
    return found[min(found)] if found else (NOT_MEASURED, None)
