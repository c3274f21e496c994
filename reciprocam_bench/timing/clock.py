"""One measured call, between two synchronised readings of the clock."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

Clock = Callable[[], float]


@dataclass(frozen=True)
class MeasuredCall:
    """One measured call, in milliseconds: wall clock, and the GPU's own clock where there is one."""

    wall: float
    device: float | None = None

    def __add__(self, other: "MeasuredCall") -> "MeasuredCall":
        on_device = None if self.device is None or other.device is None else self.device + other.device
        return MeasuredCall(self.wall + other.wall, on_device)


def measured(call: Callable[[], object], device: torch.device, clock: Clock = time.perf_counter) -> MeasuredCall:
    """Run ``call`` once: everything the device had to do is done at both readings of the clock."""
    if device.type != "cuda":
        synchronise(device)
        begun = clock()
        call()
        synchronise(device)
        return MeasuredCall(1000 * (clock() - begun))
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    synchronise(device)
    begun = clock()
    start.record()
    call()
    end.record()
    synchronise(device)
    return MeasuredCall(1000 * (clock() - begun), start.elapsed_time(end))


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
