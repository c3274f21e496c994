"""The order of clock readings, the statistics, and the memory count."""

import torch

from reciprocam_bench.explainers.registry import ExplainerSpec, Method
from reciprocam_bench.timing.measure import Sample, peaks, rows, speedup, time_methods
from reciprocam_bench.timing.peak import peak_memory

EVENTS: list[str] = []


def _nothing(backbone, options):
    return ""


def _method(title, cost):
    def function(fp):
        EVENTS.append(title)
        TIME[0] += cost
        return fp.features.mean(1)

    return Method(title, ExplainerSpec(title, function, lambda b, o: 1.0, _nothing, _nothing, None), {})


TIME = [0.0]


def _clock():
    EVENTS.append("clock")
    return TIME[0]


def test_every_call_is_read_between_two_clock_readings_and_rounds_rotate(tiny, images):
    EVENTS.clear()
    methods = [_method("a", 0.002), _method("b", 0.004)]
    samples = time_methods(tiny, methods, images, repeats=2, warmup=1, clock=_clock)
    one = ["clock", "clock", "clock", "{}", "clock"]  # around the forward pass, then around the method
    expected = [e.format(m) for m in ("a", "b", "b", "a", "a", "b") for e in one]
    assert expected == EVENTS
    assert [round(s.wall, 6) for s in samples["a", "explainer"]] == [2.0, 2.0]
    assert [round(s.wall, 6) for s in samples["b", "end-to-end"]] == [4.0, 4.0]


def test_speedup_is_the_median_of_paired_ratios():
    slow = [Sample(10.0, None), Sample(40.0, None), Sample(30.0, None)]
    fast = [Sample(1.0, None), Sample(2.0, None), Sample(1.0, None)]
    median, low, high = speedup(slow, fast)
    assert median == 20.0 and 10.0 <= low <= 20.0 <= high <= 30.0


def test_speedup_over_itself_is_one():
    assert speedup([Sample(3.0, None)] * 3, [Sample(3.0, None)] * 3) == (1.0, 1.0, 1.0)


def test_rows_hold_quartiles_rate_and_ratio(tiny, images):
    methods = [_method("a", 0.0), _method("b", 0.0)]
    samples = {("a", s): [Sample(w, None) for w in (1.0, 2.0, 3.0, 4.0, 5.0)] for s in ("end-to-end", "explainer")} | {
        ("b", s): [Sample(10 * w, None) for w in (1.0, 2.0, 3.0, 4.0, 5.0)] for s in ("end-to-end", "explainer")
    }
    memory = dict.fromkeys(samples, 2**21)
    table = rows(tiny, methods, 3, samples, memory, "b", {})
    first = table[0]
    assert (first["median_ms"], first["q25_ms"], first["q75_ms"]) == (3.0, 2.0, 4.0)
    assert first["images_per_s"] == 1000.0 and first["peak_memory_mb"] == 2.0
    assert first["speedup"] == 10.0 and table[2]["speedup"] == 1.0
    assert first["device_median_ms"] is None


def test_peak_memory_counts_what_is_held_at_once():
    def call():
        for _ in range(3):  # three times 4 MB, but one after the other
            torch.zeros(1_000_000)

    def greedy():
        return [torch.zeros(1_000_000) for _ in range(3)]

    cpu = torch.device("cpu")
    assert 4_000_000 <= peak_memory(call, cpu) < 5_000_000
    assert 12_000_000 <= peak_memory(greedy, cpu) < 13_000_000


def test_end_to_end_peak_holds_the_forward_pass(tiny, images):
    def function(fp):
        return torch.zeros(len(fp), 1000, 100).mean(2, keepdim=True)

    method = Method("big", ExplainerSpec("big", function, lambda b, o: 1.0, _nothing, _nothing, None), {})
    found, failed = peaks(tiny, [method], images)
    assert not failed
    held = 3 * (8 * 4 * 4 + 5) * 4
    assert found["big", "explainer"] >= 1_200_000
    assert found["big", "end-to-end"] == found["big", "explainer"] + held
