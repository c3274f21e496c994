"""The order of clock readings, and what is timed of a method."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from reciprocam_bench.explainers.registry import ExplainerSpec, Method
from reciprocam_bench.timing.clock import MeasuredCall
from reciprocam_bench.timing.measure import fresh_copy, one_round, peaks, scopes
from reciprocam_bench.timing.table import frame, timing_table, uncertainty
from reciprocam_bench.timing.timer import Timer

EVENTS: list[str] = []
TIME = [0.0]


def _method(title, cost, **traits):
    def function(fp):
        EVENTS.append(title)
        TIME[0] += cost
        return fp.features.mean(1)

    return Method(title, ExplainerSpec(title, function, **traits), {})


def _clock():
    EVENTS.append("clock")
    return TIME[0]


def test_every_call_is_read_between_two_clock_readings_and_rounds_rotate(tiny, images):
    EVENTS.clear()
    methods = [_method("a", 0.002), _method("b", 0.004)]
    done = []
    rounds = [list(one_round(tiny, methods, images, first, done.append, _clock)) for first in range(3)]
    alone = ["clock", "clock"]
    called = {m: ["clock", "clock", "clock", m, "clock"] for m in "ab"}  # the forward pass, then the method
    a, b = called["a"], called["b"]
    assert [*alone, *a, *b, *a, *b, *alone, *b, *alone, *a] == EVENTS
    assert done == [None, *methods, *methods, None, methods[1], None, methods[0]]
    assert [key for key, _ in rounds[1]] == [*((m, s) for m in "ab" for s in scopes(methods[0])), ("forward",) * 2]
    found = dict(rounds[0])
    assert round(found["a", "explainer"].wall, 6) == 2.0 and round(found["b", "end-to-end"].wall, 6) == 4.0


def test_calls_add_up_on_both_clocks():
    assert MeasuredCall(1.0, 2.0) + MeasuredCall(3.0, 4.0) == MeasuredCall(4.0, 6.0)
    assert MeasuredCall(1.0, None) + MeasuredCall(3.0, 4.0) == MeasuredCall(4.0, None)


def _timed(tiny, images, methods, blocks, **more):
    ticks = iter(range(100_000))
    timer = Timer(tiny, methods, {len(images): images}, clock=lambda: next(ticks), **more)
    return frame([call for block, rounds in enumerate(blocks) for call in timer.block(block, rounds)])


def test_a_method_that_runs_its_own_forward_pass_is_timed_end_to_end_alone(tiny, images):
    methods = [_method("ours", 0.002), _method("theirs", 0.004, own_forward=True)]
    assert [scopes(m) for m in methods] == [("end-to-end", "explainer"), ("end-to-end",)]
    calls = _timed(tiny, images, methods, [range(1)])
    expected = {("forward", "forward"): 1000, ("ours", "end-to-end"): 2000, ("ours", "explainer"): 1000}
    expected |= {("theirs", "end-to-end"): 1000}
    found = {(c.method, c.scope): c.wall_ms for c in calls.itertuples()}
    assert found == expected, "a reading of the clock is a second"
    memory, _ = peaks(tiny, methods, images)
    assert memory.keys() == expected.keys()
    for failed in ({}, {"theirs": "it broke"}):
        table = timing_table(tiny, methods, calls, {3: memory}, None, failed)
        assert list(zip(table["method"], table["scope"], strict=True)) == list(expected)


def test_rounds_know_their_block_and_process(tiny, images):
    calls = _timed(tiny, images, [_method("a", 0.0)], [range(0, 2), range(2, 3)], process=4)
    alone = calls[calls["scope"] == "forward"]
    assert alone[["process", "block", "round", "batch_size"]].to_numpy().tolist() == [
        [4, 0, 0, 3],
        [4, 0, 1, 3],
        [4, 1, 2, 3],
    ]


def test_the_table_holds_quartiles_rate_and_ratios(tiny, images):
    methods = [_method("a", 0.0), _method("b", 0.0)]
    calls = _timed(tiny, images, methods, [range(5), range(5, 10)])
    keys = [("forward", "forward"), *((m.title, s) for m in methods for s in scopes(m))]
    calls["wall_ms"] = calls["wall_ms"].astype(float)
    for (method, _), of_key in calls.groupby(["method", "scope"]):
        times = {"forward": [5.0] * 10, "a": [1.0, 2, 3, 4, 5] * 2, "b": [10.0, 20, 30, 40, 50] * 2}[method]
        calls.loc[of_key.index, "wall_ms"] = times
    table = timing_table(tiny, methods, calls, {3: dict.fromkeys(keys, 2**21)}, "b", {}).set_index(["method", "scope"])
    first = table.loc["a", "end-to-end"]
    assert (first["median_ms"], first["q25_ms"], first["q75_ms"], first["repeats"], first["blocks"]) == (3, 2, 4, 10, 2)
    assert first["images_per_s"] == 1000.0 and first["peak_memory_mb"] == 2.0
    assert first["speedup"] == pytest.approx(10) and table.loc["b", "end-to-end"]["speedup"] == 1.0
    assert first["forwards"] == pytest.approx(0.6) and table.loc["forward", "forward"]["forwards"] == 1.0
    assert first["device_median_ms"] is None
    assert uncertainty(table.reset_index()) == pytest.approx(0, abs=1e-12)


def test_a_speedup_over_what_is_not_timed_in_a_scope_is_empty(tiny, images):
    methods = [_method("ours", 0.0), _method("theirs", 0.0, own_forward=True)]
    memory, _ = peaks(tiny, methods, images)
    table = timing_table(tiny, methods, _timed(tiny, images, methods, [range(2)]), {3: memory}, "theirs", {})
    table = table.set_index(["method", "scope"])
    assert table["speedup"].isna().to_dict() == {
        ("forward", "forward"): True,
        ("ours", "end-to-end"): False,
        ("ours", "explainer"): True,
        ("theirs", "end-to-end"): False,
    }
    assert uncertainty(table.reset_index()) == float("inf"), "there is one block"


def test_a_fresh_copy_answers_alike_elsewhere_in_memory(tiny, images):
    copied, moved = fresh_copy(tiny, images)
    assert torch.equal(copied(moved), tiny(images))
    where = {p.data_ptr() for p in tiny.features.parameters()}
    assert where.isdisjoint({p.data_ptr() for p in copied.features.parameters()})
    assert moved.data_ptr() != images.data_ptr()


@pytest.mark.parametrize("copy", ["refuses", "answers otherwise"])
def test_a_network_that_cannot_be_copied_is_timed_where_it_lies(tiny, images, copy):
    class Stubborn(nn.Module):
        def __init__(self, factor=1.0):
            super().__init__()
            self.factor = factor

        def forward(self, x):
            return self.factor * tiny.features(x)

        def __deepcopy__(self, memo):
            if copy == "refuses":
                raise TypeError("cannot be copied")
            return Stubborn(2.0)

    backbone = replace(tiny, features=Stubborn())
    same, moved = fresh_copy(backbone, images)
    assert same is backbone and torch.equal(moved, images)


def test_end_to_end_peak_holds_the_forward_pass(tiny, images):
    def function(fp):
        return torch.zeros(len(fp), 1000, 100).mean(2, keepdim=True)

    method = Method("big", ExplainerSpec("big", function), {})
    found, failed = peaks(tiny, [method], images)
    assert not failed
    held = 3 * (8 * 4 * 4 + 5) * 4
    assert found["big", "explainer"] >= 1_200_000
    assert found["big", "end-to-end"] == found["big", "explainer"] + held
