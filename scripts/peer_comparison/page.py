"""The page of a comparison, made of its table and its environment."""

from typing import Any

import pandas as pd

from reciprocam_bench.reporting.tables import to_markdown

_INTRODUCTION = """# Our methods beside other libraries, called as their users call them

Made by `scripts/compare_peers.py`, which says how. `ratio` is a contender's time over that of the first row, `ours /
theirs` our time over that of the contender, both from calls of the same round, with the 95 % interval over blocks of
rounds ([how](../../docs/timing.md)). `difference` is the largest between its maps and ours, in [0, 1], or between the
numbers; Eigen-CAM's sign is arbitrary in grad-cam, so some maps are the opposite there. Peak memory is what tensors
held at once. Before each call C's allocator is set as its users have it: ours keeps freed memory, as `rcam-bench run`
does, theirs does as glibc does by itself. Our rows are named as methods, or "ours".

Of the loops around Recipro-CAM, "hook" does what the authors' released code is described to do, "two halves" what their
first scripts did. "A forward pass a position" is nobody's released code: it is the formula run on the whole network.

"""
_TITLES = {
    "maps": "maps of {images} images in one batch",
    "score_cams": "Score-CAM of one image",
    "recipro_adcc": "ADCC of Recipro-CAM on {images} images",
    "four_methods": "four methods and their ADCC on {images} images",
}


def page(table: pd.DataFrame, environment: list[dict[str, Any]]) -> str:
    """The Markdown page."""
    parts = [_INTRODUCTION]
    for about in environment:
        rows = table[
            (table[["model", "threads", "group"]] == [about[k] for k in ("model", "threads", "group")]).all(axis=1)
        ]
        title = _TITLES[about["group"]].format(**about)
        threads = f"{about['threads']} thread{'s' if about['threads'] > 1 else ''}"
        parts.append(
            f"## {about['model']}, {threads}: {title}\n\n{to_markdown(_readable(rows))}\n{_conditions(about)}\n\n"
        )
    return "".join(parts).rstrip("\n") + "\n"


def _readable(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "contender": rows["contender"],
            "median ms": rows["median_ms"].map(_three),
            "ratio": _with_interval(rows, "ratio"),
            "ours / theirs": _with_interval(rows, "ours_to_theirs"),
            "peak MB": rows["peak_memory_mb"].map(_three),
            "difference": rows["largest_difference"].map(_three),
        }
    )


def _conditions(about: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    machine = about["machine"]
    return (
        f"{about['repeats']} rounds on {about['device']}; other processes used {100 * machine['others']:.0f} % of it, "
        f"its host {100 * machine['steal']:.0f} %. Commit {str(about['commit'])[:7]}, {about['date'][:10]}; {packages}."
    )


def _with_interval(rows: pd.DataFrame, name: str) -> list[str]:
    each = zip(rows[name], rows[f"{name}_low"], rows[f"{name}_high"], strict=True)
    return [
        "" if pd.isna(r) else _three(r) if pd.isna(low) else f"{_three(r)} ({_three(low)} to {_three(high)})"
        for r, low, high in each
    ]


def _three(value: float | None) -> str:
    if value is None or pd.isna(value):
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
