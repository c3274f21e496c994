"""Is Recipro-CAM better than Score-CAM and Grad-CAM, by how much, how sure, and how fast? One table of committed runs.

`update_readme.py` writes it into the README, from every run folder in which `rcam-bench compare` found both.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from reciprocam_bench.reporting.tables import to_markdown
from reciprocam_bench.runfolder.record import RunRecord, read_record
from reciprocam_bench.runfolder.schema import COMPARISON, CONFIG, ENVIRONMENT
from reciprocam_bench.speedup import speedup_of_calls

RIVALS = ("scorecam", "gradcam")
NOT_MEASURED = "not measured"


def headline(results: Path, linked: str = "results") -> str:
    """The table in Markdown, and whose runs it is made of; ``linked`` is where a page finds the results."""
    rows, sources = [], []
    for path in sorted(results.glob(f"*/{COMPARISON}")):
        if not (path.parent / CONFIG).is_file():  # results/peers compares times, and is no run
            continue
        table = pd.read_csv(path)
        if {"scorecam", "reciprocam"} <= {*table["method"], *table["against"]}:
            record = read_record(path.parent)
            rows += _rows(table, record)
            sources.append(f"[{path.parent.name}]({linked}/{path.parent.name}) ({_where(record)})")
    if not rows:
        return f"Score-CAM: {NOT_MEASURED}.\n"
    return f"{to_markdown(pd.DataFrame(rows))}\nFrom the runs {', '.join(sources)}.\n"


def _where(record: RunRecord) -> str:
    """What the times are of."""
    facts = json.loads((record.path / ENVIRONMENT).read_text("utf-8"))
    threads = facts["threads"]
    return f"{facts['device']}, {threads} {'thread' if threads == 1 else 'threads'}"


def _rows(table: pd.DataFrame, record: RunRecord) -> Iterator[dict[str, object]]:
    ours = table[(table["metric"] == "adcc") & (table["method"] == "reciprocam") & table["against"].isin(RIVALS)]
    for row in ours.sort_values("against", ascending=False).to_dict("records"):
        yield {
            "network": row["backbone"],
            "protocol": row["protocol"],
            "images": row["images"],
            "Recipro-CAM against": row["against"],
            "ADCC": f"{row['value']:.2f}",
            "its ADCC": f"{row['against_value']:.2f}",
            "difference (95 % interval)": f"{row['difference']:+.2f} ({row['low']:+.2f} to {row['high']:+.2f})",
            "in a word": row["verdict"],
            "times as fast": _times(record, row["against"]),
        }


def _times(record: RunRecord, rival: str) -> str:
    """From images to maps, rounds of one process against one another."""
    rounds = record.timing_rounds()
    if rounds is None:
        return NOT_MEASURED
    calls = rounds[(rounds["scope"] == "end-to-end") & (rounds["batch_size"] == rounds["batch_size"].min())]
    found = speedup_of_calls(*(calls[calls["method"] == name] for name in (rival, "reciprocam")))
    if found is None:
        return NOT_MEASURED
    ratio, low, high = found
    return f"{ratio:.3g}" + ("" if low is None else f" ({low:.3g} to {high:.3g})")
