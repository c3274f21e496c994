"""Peak memory of a call: what tensors held at once, beyond what was held before it."""

import os
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

# The profiler's C++ part writes notes of its own to stderr, among our progress lines; it reads this on first use.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")


def peak_memory(call: Callable[[], object], device: torch.device) -> int:
    """Bytes allocated for tensors at the highest point of ``call``, above the level at its start.

    On a GPU the allocator's own count. On a CPU the sum of the allocator's events, because the process's resident size
    says what was kept, not what was needed; it does not see tensors on another device, such as MPS. Weights and inputs
    are held before the call and do not count.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        result = call()
    del result
    return _highest(profiler)


def _highest(profiler: profile) -> int:
    # The events of the allocator are what torch's own memory time line is drawn from.
    results: Any = profiler.profiler and profiler.profiler.kineto_results
    changes = [(e.start_ns(), e.nbytes()) for e in results.events() if e.name() == "[memory]"]
    level = highest = 0
    for _, change in sorted(changes, key=lambda event: event[0]):
        level += change
        highest = max(highest, level)
    return highest
