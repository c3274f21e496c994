"""Plots of run folders: what they draw, and how they stand in a page."""

import re
import warnings
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest

from reciprocam_bench.reporting.plots.curves import curves_plot, mean_curve
from reciprocam_bench.reporting.plots.quality import differences_plot, metrics_plot
from reciprocam_bench.reporting.plots.style import inline, look, names_beside
from reciprocam_bench.reporting.plots.times import front_of, rounds_plot, trade_plot
from reciprocam_bench.runfolder.schema import MetricDefinition

ADCC = MetricDefinition(title="ADCC $x$ <b>", higher_is_better=True, columns=["adcc"])


def summary(methods: int) -> pd.DataFrame:
    value = np.linspace(98, 99.9, methods)
    names = [f"method_{i}$^2$<i>" for i in range(methods)]
    cells = {"method": names, "adcc": value, "adcc_low": value - 1, "adcc_high": np.minimum(value + 1, 100)}
    return pd.DataFrame({**cells, "adcc_published": np.nan})


def test_the_front_is_of_what_nothing_beats_in_both() -> None:
    times, values = np.array([4.0, 1.0, 2.0, 3.0, 1.0]), np.array([9.0, 5.0, 4.0, 8.0, 3.0])
    assert front_of(times, values, up=True) == ([1, 3, 4, 4], [5, 8, 9, 9])
    assert front_of(times, values, up=False) == ([1, 4], [3, 3])


def test_42_methods_look_different() -> None:
    assert len({tuple(look(place).values()) for place in range(42)}) == 42


@pytest.mark.parametrize("methods", [2, 20])
def test_a_plot_in_a_page_is_well_formed_sized_by_it_and_in_its_ink(methods: int) -> None:
    plot = metrics_plot(summary(methods), {"adcc": ADCC})
    assert plot is not None
    svg = inline(plot, "r0")
    root = ElementTree.fromstring(svg)
    assert "width" not in root.attrib and "viewBox" in root.attrib and "currentColor" in svg
    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    assert all(i.startswith("r0-") for i in ids) and len(set(ids)) == len(ids)
    assert set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", svg)) <= set(ids)
    left, right = plot.figure.axes[0].get_xlim()
    assert right < 101 and right - left >= 3.4  # 100 ends the axis


def test_a_metric_of_zeros_begins_at_zero_and_what_is_not_shown_is_told() -> None:
    names = [f"m{i}" for i in range(14)]
    table = pd.DataFrame({"method": ["a", "b"]} | {f"{n}{end}": 0.0 for n in names for end in ("", "_low", "_high")})
    table = table.assign(**{f"{n}_published": np.nan for n in names})
    plot = metrics_plot(table, {n: MetricDefinition(title=n, higher_is_better=True, columns=[n]) for n in names})
    assert plot is not None and plot.caption.endswith("The first 12 of 14; the summary has all.")
    assert plot.figure.axes[0].get_xlim() == pytest.approx((-0.8, 2))


def test_of_many_pairs_those_with_the_best_are_drawn_and_told_ones_are_filled() -> None:
    names = [f"m{i}" for i in range(9)]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[:i]]
    table = pd.DataFrame(pairs, columns=["method", "against"])
    place = {name: float(i) for i, name in enumerate(names)}
    table["value"], table["against_value"] = table["method"].map(place), table["against"].map(place)
    table["difference"] = table["value"] - table["against_value"]
    table = table.assign(low=table["difference"] - 1, high=table["difference"] + 1, metric="adcc")
    table["verdict"] = np.where(table["difference"] > 2, "better", "cannot be told")
    plot = differences_plot(table, "adcc", ADCC)
    assert plot is not None and plot.caption.startswith("Only pairs with m8, which has the best value.")
    (axes,) = plot.figure.axes
    assert len(axes.get_yticks()) == 8
    told, open_ = (line for line in axes.lines if line.get_marker() == "o")
    assert (len(told.get_xdata()), len(open_.get_xdata())) == (6, 2) and open_.get_markerfacecolor() == "none"
    turned = differences_plot(table, "adcc", ADCC.model_copy(update={"higher_is_better": False}))
    assert turned is not None and turned.caption.startswith("Only pairs with m0")
    labels = [label.get_text() for label in turned.figure.axes[0].get_yticklabels()]
    assert labels == [f"m0 \N{MINUS SIGN} m{i}" for i in range(1, 9)]  # each seen from the best
    points = [x for line in turned.figure.axes[0].lines if line.get_marker() == "o" for x in line.get_xdata()]
    assert sorted(points) == [float(-i) for i in range(8, 0, -1)]


def of_curves(images: int) -> pd.DataFrame:
    """Rows of two methods: a's curve rises from 0 to 1, b's is half of it, each image a little off; one has failed."""
    steps, off = np.linspace(0, 1, len(CURVE.columns)), np.linspace(-0.01, 0.01, images)[:, None]
    tables = [pd.DataFrame(height * (steps + off), columns=CURVE.columns).assign(method=m) for m, height in HEIGHTS]
    rows = pd.concat(tables).assign(status="ok", category="")
    rows["image"] = [f"{i}.png" for i in range(images)] * len(HEIGHTS)
    rows.iloc[0, rows.columns.get_loc("status")] = "error: no luck"
    rows.iloc[0, : len(CURVE.columns)] = np.nan
    return rows


HEIGHTS = [("a", 1.0), ("b", 0.5)]
CURVE = MetricDefinition(
    title="Insertion curve",
    higher_is_better=True,
    aggregation="area-under-curve",
    columns=[f"insertion_curve@{share:03d}" for share in (0, 25, 50, 75, 100)],
)


def test_a_mean_curve_is_the_mean_of_the_rows_with_intervals_around_it() -> None:
    rows = of_curves(21)
    value, low, high = mean_curve(rows[rows["method"] == "b"], CURVE)
    assert value == pytest.approx(rows.loc[rows["method"] == "b", CURVE.columns].mean().to_numpy() * 100)
    assert (low < value).all() and (value < high).all() and (high - low).max() < 0.5
    value, _, _ = mean_curve(rows[rows["method"] == "a"], CURVE)  # without the image that failed
    assert value[0] == pytest.approx(0.05, abs=1e-9)


def test_curves_are_drawn_for_metrics_that_keep_them() -> None:
    plot = curves_plot(of_curves(5), ["a", "b"], {"adcc": ADCC, "insertion_curve": CURVE})
    assert plot is not None and "Bands" in plot.caption
    (axes,) = plot.figure.axes
    assert axes.get_title() == "Insertion curve ↑" and [line.get_label() for line in axes.lines] == ["a", "b"]
    assert axes.lines[1].get_xdata().tolist() == [0, 25, 50, 75, 100]
    assert axes.lines[1].get_ydata() == pytest.approx([0, 12.5, 25, 37.5, 50])
    (legend,) = plot.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]
    many = curves_plot(of_curves(5), ["a", "b", *"cdef"], {"insertion_curve": CURVE})
    assert many is not None and "Bands" not in many.caption and not many.figure.axes[0].collections
    assert curves_plot(of_curves(5), ["a"], {"adcc": ADCC}) is None


def test_a_method_whose_label_begins_with_an_underscore_stands_in_the_legends() -> None:
    rows = of_curves(5).replace({"method": {"a": "_a$^2$"}})
    curves = curves_plot(rows, ["_a$^2$", "b"], {"insertion_curve": CURVE})
    table = summary(2).assign(method=["_a$^2$", "b"])
    times = {"scope": "end-to-end", "batch_size": 1, "median_ms": [1.0, 2.0], "q25_ms": 1.0, "q75_ms": 2.0}
    trade = trade_plot(table, pd.DataFrame({"method": ["_a$^2$", "b"], **times}), "adcc", ADCC)
    for plot in (curves, trade):
        assert plot is not None
        (legend,) = plot.figure.legends
        assert [text.get_text().strip() for text in legend.get_texts()][-2:] == ["_a$^2$", "b"]


@pytest.mark.parametrize(
    ("longest", "labels"),
    [
        (300, ["200", "300"]),
        (2000, ["200", "500", "1000", "2000"]),
        (90_000, ["300", "1000", "3000", "10000", "30000", "100000"]),
    ],
)
def test_an_axis_of_times_has_labels_over_any_span(longest: float, labels: list[str]) -> None:
    calls = {"method": "a", "scope": "forward", "batch_size": 1}
    plot = rounds_plot(pd.DataFrame({**calls, "wall_ms": [170.0, float(longest)]}))
    assert plot is not None
    (axes,) = plot.figure.axes
    plot.figure.draw_without_rendering()
    low, high = axes.get_xlim()
    ticks = [*axes.xaxis.get_major_ticks(), *axes.xaxis.get_minor_ticks()]
    shown = {tick.label1.get_text() for tick in ticks if low <= tick.get_loc() <= high} - {""}
    assert shown == set(labels)


def test_nothing_to_draw_is_no_plot() -> None:
    assert metrics_plot(summary(2).assign(adcc=np.nan), {"adcc": ADCC}) is None
    rounds = pd.DataFrame({"method": ["a"], "scope": ["explainer"], "batch_size": [1], "wall_ms": [1.0]})
    assert rounds_plot(rounds) is None


def test_long_names_have_room_are_cut_in_their_middle_and_stay_apart() -> None:
    names = ["m" * 40, "a" + "x" * 98 + "b", "a" + "y" * 98 + "b", "a" + "x" * 99 + "b", "short"]
    shown = names_beside(names)
    assert (shown[0], shown[4]) == (names[0], "short") and max(map(len, shown)) <= 61
    assert len(set(shown)) == 5 and shown[1].endswith("xb (2)") and shown[3].endswith("xb (4)")
    pairs = [(a, b) for i, a in enumerate(names) for b in names[:i]]
    table = pd.DataFrame(pairs, columns=["method", "against"])
    table = table.assign(
        metric="adcc", value=1.0, against_value=0.0, difference=1.0, low=0.5, high=1.5, verdict="better"
    )
    rows = pd.DataFrame({"method": names, "adcc": 50.0, "adcc_low": 45.0, "adcc_high": 55.0, "adcc_published": np.nan})
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of axes that have no room left
        for plot in (differences_plot(table, "adcc", ADCC), metrics_plot(rows, {"adcc": ADCC})):
            assert plot is not None
            plot.figure.draw_without_rendering()
            axes = plot.figure.axes[0]
            assert axes.get_window_extent().width > 1.5 * plot.figure.dpi
            assert all(label.get_window_extent().x0 >= 0 for label in axes.get_yticklabels())


def test_fourteen_methods_are_told_apart_without_colour() -> None:
    looks = [look(place) for place in range(42)]
    assert len({(one["marker"], one["markerfacecolor"] == "none") for one in looks[:14]}) == 14
    assert len({(one["marker"], one["color"]) for one in looks}) == 42
