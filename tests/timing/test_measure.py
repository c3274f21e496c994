"""The order of clock readings, what is timed of a method, and the statistics."""

import torch

from reciprocam_bench.explainers.registry import ExplainerSpec, Method
from reciprocam_bench.timing.measure import MeasuredCall, peaks, rows, scopes, speedup, time_methods

EVENTS: list[str] = []


def _method(title, cost, **traits):
    def function(fp):
        EVENTS.append(title)
        TIME[0] += cost
        return fp.features.mean(1)

    return Method(title, ExplainerSpec(title, function, **traits), {})


TIME = [0.0]


def _clock():
    EVENTS.append("clock")
    return TIME[0]


def test_every_call_is_read_between_two_clock_readings_and_rounds_rotate(tiny, images):
    EVENTS.clear()
    methods = [_method("a", 0.002), _method("b", 0.004)]
    calls = time_methods(tiny, methods, images, repeats=2, warmup=1, clock=_clock)
    one = ["clock", "clock", "clock", "{}", "clock"]  # around the forward pass, then around the method
    expected = [e.format(m) for m in ("a", "b", "b", "a", "a", "b") for e in one]
    assert expected == EVENTS
    assert [round(s.wall, 6) for s in calls["a", "explainer"]] == [2.0, 2.0]
    assert [round(s.wall, 6) for s in calls["b", "end-to-end"]] == [4.0, 4.0]


def _calls(*milliseconds):
    return [MeasuredCall(float(ms), None) for ms in milliseconds]


def test_speedup_is_the_median_of_paired_ratios():
    # The ratio of the medians would be 30. With three rounds the interval is all of them.
    assert speedup(_calls(10, 40, 30), _calls(1, 2, 1)) == (20.0, 10.0, 30.0)


def test_the_interval_of_many_rounds_leaves_out_their_extremes():
    median, low, high = speedup(_calls(*range(1, 42)), _calls(*[1] * 41))
    assert median == 21 and 10 < low < 18 and 24 < high < 32


def test_speedup_over_itself_is_one():
    assert speedup(_calls(3, 3, 3), _calls(3, 3, 3)) == (1.0, 1.0, 1.0)


def test_rows_hold_quartiles_rate_and_ratio(tiny, images):
    methods = [_method("a", 0.0), _method("b", 0.0)]
    calls = {("a", s): _calls(1, 2, 3, 4, 5) for s in ("end-to-end", "explainer")}
    calls |= {("b", s): _calls(10, 20, 30, 40, 50) for s in ("end-to-end", "explainer")}
    table = rows(tiny, methods, 3, calls, dict.fromkeys(calls, 2**21), "b", {})
    first = table[0]
    assert (first["median_ms"], first["q25_ms"], first["q75_ms"]) == (3.0, 2.0, 4.0)
    assert first["images_per_s"] == 1000.0 and first["peak_memory_mb"] == 2.0
    assert first["speedup"] == 10.0 and table[2]["speedup"] == 1.0
    assert first["device_median_ms"] is None


def test_calls_add_up_on_both_clocks():
    assert MeasuredCall(1.0, 2.0) + MeasuredCall(3.0, 4.0) == MeasuredCall(4.0, 6.0)
    assert MeasuredCall(1.0, None) + MeasuredCall(3.0, 4.0) == MeasuredCall(4.0, None)


def test_a_method_that_runs_its_own_forward_pass_is_timed_end_to_end_alone(tiny, images):
    methods = [_method("ours", 0.002), _method("theirs", 0.004, own_forward=True)]
    assert [scopes(m) for m in methods] == [("end-to-end", "explainer"), ("end-to-end",)]
    ticks = iter(range(1000))
    calls = time_methods(tiny, methods, images, repeats=2, warmup=0, clock=lambda: next(ticks))
    expected = {("ours", "end-to-end"): 2000, ("ours", "explainer"): 1000, ("theirs", "end-to-end"): 1000}
    assert {key: found[0].wall for key, found in calls.items()} == expected, "a reading of the clock is a second"
    memory, _ = peaks(tiny, methods, images)
    assert memory.keys() == calls.keys()
    for failed in ({}, {"theirs": "it broke"}):
        table = rows(tiny, methods, 3, calls, memory, None, failed)
        assert [(row["method"], row["scope"]) for row in table] == list(calls)


def test_a_speedup_over_what_is_not_timed_in_a_scope_is_empty(tiny, images):
    methods = [_method("ours", 0.0), _method("theirs", 0.0, own_forward=True)]
    calls = {("ours", "end-to-end"): _calls(2, 2), ("ours", "explainer"): _calls(1, 1)}
    calls["theirs", "end-to-end"] = _calls(4, 4)
    table = rows(tiny, methods, 3, calls, dict.fromkeys(calls, 0), "theirs", {})
    assert [row["speedup"] for row in table] == [2.0, None, 1.0]
    assert (table[1]["speedup_low"], table[1]["speedup_high"], table[1]["median_ms"]) == (None, None, 1.0)


def test_end_to_end_peak_holds_the_forward_pass(tiny, images):
    def function(fp):
        return torch.zeros(len(fp), 1000, 100).mean(2, keepdim=True)

    method = Method("big", ExplainerSpec("big", function), {})
    found, failed = peaks(tiny, [method], images)
    assert not failed
    held = 3 * (8 * 4 * 4 + 5) * 4
    assert found["big", "explainer"] >= 1_200_000
    assert found["big", "end-to-end"] == found["big", "explainer"] + held
