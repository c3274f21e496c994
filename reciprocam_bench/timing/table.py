"""The table of times that is made of the measured calls."""

from collections.abc import Container, Iterable
from typing import Any

import numpy as np
import pandas as pd

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.explainers.registry import Method
from reciprocam_bench.runfolder.schema import FORWARD
from reciprocam_bench.speedup import speedup
from reciprocam_bench.timing.measure import Call, Timed, scopes

_VALUES = ("repeats", "blocks", "median_ms", "q25_ms", "q75_ms", "device_median_ms", "images_per_s")
_RATIOS = tuple(f"{name}{end}" for name in ("speedup", "forwards") for end in ("", "_low", "_high"))


def frame(calls: Iterable[Call]) -> pd.DataFrame:
    """The content of ``timing_rounds.csv``."""
    return pd.DataFrame(list(calls), columns=list(Call.__dataclass_fields__))


def timing_table(
    backbone: Backbone,
    methods: list[Method],
    calls: pd.DataFrame,
    memory: dict[int, dict[Timed, int]],
    relative_to: str | None,
    failed: dict[str, str],
) -> pd.DataFrame:
    """The content of ``timing.csv``, one row per batch size, method and scope, and one for the network alone.

    Milliseconds a call, images a second, ``speedup`` over ``relative_to`` in the same scope (empty where that is not
    timed), ``forwards`` (the call in passes of the network alone), peak memory in MB (2^20 bytes). A method that
    ``failed`` (title to reason) has rows without values, whose status says why.

    Args:
        calls: as `frame` gives them.
        memory: peak bytes by batch size, title and scope.
    """
    by = {key: group.set_index("round") for key, group in calls.groupby(["batch_size", "method", "scope"])}
    table = []
    for size, peak in memory.items():
        what = [(FORWARD, FORWARD, ""), *_scoped(backbone, methods, failed)]
        for title, scope, implementation in what:
            fixed: dict[str, Any] = {"backbone": backbone.name, "method": title, "implementation": implementation}
            fixed |= {"scope": scope, "batch_size": size, "relative_to": relative_to}
            if title in failed:
                blank = dict.fromkeys((*_VALUES, *_RATIOS, "peak_memory_mb"))
                table.append({**fixed, **blank, "status": f"error: {failed[title]}"})
                continue
            mine, reference = by[size, title, scope], by.get((size, relative_to, scope))
            values = _values(mine, size)
            values |= _ratio("speedup", reference, mine) | _ratio("forwards", mine, by[size, FORWARD, FORWARD])
            table.append({**fixed, **values, "peak_memory_mb": peak[title, scope] / 2**20, "status": "ok"})
    return pd.DataFrame(table)


def uncertainty(table: pd.DataFrame) -> float:
    """How far the widest interval reaches from its ratio, as a share of it; infinite where an interval is unknown.

    The ratios are the speed-ups; without a ``relative_to`` those to the forward pass.
    """
    name = "speedup" if table["speedup"].notna().any() else "forwards"
    rows = table[table[name].notna() & ((table["method"] != table["relative_to"]) | (name == "forwards"))]
    low, centre, high = (rows[f"{name}{end}"].to_numpy(dtype=float) for end in ("_low", "", "_high"))
    if rows.empty:
        return 0.0
    far = np.maximum(centre / low, high / centre) - 1
    return float(np.nan_to_num(far, nan=np.inf).max())


def _scoped(backbone: Backbone, methods: list[Method], failed: Container[str]) -> list[tuple[str, str, str]]:
    how = {m.title: "" if m.title in failed else m.spec.implementation(backbone, m.options) for m in methods}
    return [(m.title, scope, how[m.title]) for m in methods for scope in scopes(m)]


def _values(mine: pd.DataFrame, size: int) -> dict:
    wall, on_device = mine["wall_ms"], mine["device_ms"].dropna()
    return {
        "repeats": len(mine),
        "blocks": mine["block"].nunique(),
        "median_ms": float(wall.median()),
        "q25_ms": float(wall.quantile(0.25)),
        "q75_ms": float(wall.quantile(0.75)),
        "device_median_ms": float(on_device.median()) if len(on_device) else None,
        "images_per_s": 1000 * size / float(wall.median()),
    }


def _ratio(name: str, above: pd.DataFrame | None, below: pd.DataFrame) -> dict:
    value: tuple[float | None, ...] = (None, None, None)
    if above is not None and above is not below:
        value = speedup(above["wall_ms"].to_numpy(), below["wall_ms"].to_numpy(), below["block"].to_numpy())
    elif above is not None:
        value = (1.0, 1.0, 1.0)
    return dict(zip((name, f"{name}_low", f"{name}_high"), value, strict=True))
