"""Time every method on the same images, in turn, round by round."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from scipy.stats import bootstrap
from torch import Tensor

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.errors import in_words
from reciprocam_bench.explainers.forward_pass import ForwardPass, forward_pass
from reciprocam_bench.explainers.registry import Method
from reciprocam_bench.timing.peak import peak_memory


@dataclass(frozen=True)
class MeasuredCall:
    """One measured call, in milliseconds: wall clock, and the GPU's own clock where there is one."""

    wall: float
    device: float | None

    def __add__(self, other: "MeasuredCall") -> "MeasuredCall":
        on_device = None if self.device is None or other.device is None else self.device + other.device
        return MeasuredCall(self.wall + other.wall, on_device)


Clock = Callable[[], float]
# By method title and scope.
Calls = dict[tuple[str, str], list[MeasuredCall]]


def scopes(method: Method) -> tuple[str, ...]:
    """What is timed of a method: ``end-to-end``, and ``explainer`` unless its call runs a forward pass of its own."""
    return ("end-to-end",) if method.spec.own_forward else ("end-to-end", "explainer")


def time_methods(
    backbone: Backbone,
    methods: list[Method],
    images: Tensor,
    *,
    repeats: int,
    warmup: int,
    on_done: Callable[[Method], None] = lambda method: None,
    clock: Clock = time.perf_counter,
) -> Calls:
    """Measured calls by (method title, scope), ``repeats`` of each, in the order of the rounds.

    A round runs every method once, beginning one further each time, so that a slow spell of the machine hits all alike.
    Scope ``explainer`` begins with the shared forward pass done; ``end-to-end`` is that forward pass and the call, or
    for a method that runs its own the call alone. ``on_done`` is called after each method, outside the measured time.
    """
    calls: Calls = {(m.title, scope): [] for m in methods for scope in scopes(m)}
    for round_number in range(warmup + repeats):
        for i in range(len(methods)):
            method = methods[(i + round_number) % len(methods)]
            forward, explain = _call(backbone, method, images, clock)
            if round_number >= warmup:
                each = {"explainer": explain, "end-to-end": explain if method.spec.own_forward else forward + explain}
                for scope in scopes(method):
                    calls[method.title, scope].append(each[scope])
            on_done(method)
    return calls


def peaks(
    backbone: Backbone, methods: list[Method], images: Tensor, on_done: Callable[[Method], None] = lambda method: None
) -> tuple[dict[tuple[str, str], int], dict[str, str]]:
    """Peak memory in bytes by (method title, scope), from one call of each, and why a method failed, by title.

    The call also warms the method up.
    """
    found: dict[tuple[str, str], int] = {}
    failed: dict[str, str] = {}
    made: list[ForwardPass] = []
    for method in methods:
        made.clear()
        forward = peak_memory(partial(_forward_into, made, backbone, images), backbone.device)
        try:
            explain = peak_memory(partial(method, made[0]), backbone.device)
        except Exception as error:  # a plug-in may fail in any way; the judged rows and the other times are kept
            failed[method.title] = in_words(error)
            on_done(method)
            continue
        held = sum(t.numel() * t.element_size() for t in (made[0].features, made[0].logits))
        each = {
            "explainer": explain,
            "end-to-end": explain if method.spec.own_forward else max(forward, held + explain),
        }
        found |= {(method.title, scope): each[scope] for scope in scopes(method)}
        on_done(method)
    return found, failed


def rows(
    backbone: Backbone,
    methods: list[Method],
    batch_size: int,
    calls: Calls,
    memory: dict[tuple[str, str], int],
    relative_to: str | None,
    failed: dict[str, str],
) -> list[dict]:
    """The rows of ``timing.csv``: milliseconds a call, images a second, peak memory in MB (2^20 bytes), speed-up.

    The speed-up is empty in a scope that ``relative_to`` is not timed in. A method that ``failed`` (title to reason)
    has rows without times, whose status says why.
    """
    table = []
    for method in methods:
        fixed = {
            "backbone": backbone.name,
            "method": method.title,
            "implementation": method.spec.implementation(backbone, method.options),
        }
        if method.title in failed:
            blank = dict.fromkeys(_values([MeasuredCall(1.0, None)], None, 1), None) | {"peak_memory_mb": None}
            status = {"relative_to": relative_to, **blank, "status": f"error: {failed[method.title]}"}
            table += [{**fixed, "scope": scope, "batch_size": batch_size, **status} for scope in scopes(method)]
            continue
        for scope in scopes(method):
            reference = calls.get((relative_to, scope)) if relative_to else None
            values = _values(calls[method.title, scope], reference, batch_size)
            values |= {"peak_memory_mb": memory[method.title, scope] / 2**20, "status": "ok"}
            table.append({**fixed, "scope": scope, "batch_size": batch_size, "relative_to": relative_to, **values})
    return table


def speedup(reference: Iterable[MeasuredCall], other: Iterable[MeasuredCall]) -> tuple[float, float, float]:
    """How many times faster ``other`` is: the median of the round-by-round ratios, and its 95 % bootstrap interval."""
    ratios = np.array([r.wall / o.wall for r, o in zip(reference, other, strict=True)])
    if np.ptp(ratios) == 0 or len(ratios) < 2:
        return float(np.median(ratios)), float(ratios.min()), float(ratios.max())
    interval = bootstrap(
        (ratios,), np.median, axis=-1, vectorized=True, n_resamples=2000, method="percentile", rng=0
    ).confidence_interval
    return float(np.median(ratios)), float(interval.low), float(interval.high)


def _values(mine: list[MeasuredCall], reference: list[MeasuredCall] | None, batch_size: int) -> dict:
    wall = np.array([call.wall for call in mine])
    on_device = [call.device for call in mine if call.device is not None]
    ratio = speedup(reference, mine) if reference else (None, None, None)
    return {
        "repeats": len(mine),
        "median_ms": float(np.median(wall)),
        "q25_ms": float(np.quantile(wall, 0.25)),
        "q75_ms": float(np.quantile(wall, 0.75)),
        "device_median_ms": float(np.median(on_device)) if on_device else None,
        "images_per_s": 1000 * batch_size / float(np.median(wall)),
        "speedup": ratio[0],
        "speedup_low": ratio[1],
        "speedup_high": ratio[2],
    }


def _call(backbone: Backbone, method: Method, images: Tensor, clock: Clock) -> tuple[MeasuredCall, MeasuredCall]:
    made: list[ForwardPass] = []
    forward = _measure(partial(_forward_into, made, backbone, images), backbone.device, clock)
    return forward, _measure(partial(method, made[0]), backbone.device, clock)


def _forward_into(made: list[ForwardPass], backbone: Backbone, images: Tensor) -> None:
    made.append(forward_pass(backbone, images))


def _measure(call: Callable[[], object], device: torch.device, clock: Clock) -> MeasuredCall:
    """Run ``call`` between two synchronised readings of the clock."""
    if device.type != "cuda":
        _synchronise(device)
        begun = clock()
        call()
        _synchronise(device)
        return MeasuredCall(1000 * (clock() - begun), None)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    begun = clock()
    start.record()
    call()
    end.record()
    torch.cuda.synchronize(device)
    return MeasuredCall(1000 * (clock() - begun), start.elapsed_time(end))


def _synchronise(device: torch.device) -> None:
    if device.type == "mps":
        torch.mps.synchronize()
