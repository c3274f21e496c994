"""What else a machine did while something was timed on it."""

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import psutil
import torch


@dataclass(frozen=True)
class Reading:
    """The processors' counters at one moment, in seconds since the machine started."""

    total: float
    idle: float
    steal: float
    own: float
    load_average: float | None
    clock_mhz: float | None

    @classmethod
    def now(cls) -> Self:
        """Read them."""
        times = psutil.cpu_times()
        # Guests are counted in user and nice as well.
        total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        mine = [psutil.Process().cpu_times()]
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):  # it ended meanwhile
                mine.append(child.cpu_times())
        # What processes of ours that have ended used stands with the one that waited for them.
        used = (t.user + t.system + getattr(t, "children_user", 0.0) + getattr(t, "children_system", 0.0) for t in mine)
        return cls(
            total=total,
            idle=times.idle + getattr(times, "iowait", 0.0),
            steal=getattr(times, "steal", 0.0),
            own=sum(used),
            load_average=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
            clock_mhz=_clock(),
        )


def _clock() -> int | None:
    try:
        frequency = psutil.cpu_freq() if hasattr(psutil, "cpu_freq") else None
    except (NotImplementedError, OSError, RuntimeError):  # a system that lists clocks and does not let them be read
        return None
    return round(frequency.current) if frequency else None


def between(begin: Reading, end: Reading, device: torch.device) -> dict[str, Any]:
    """The machine from one reading to the next, for ``environment.json``.

    ``others`` and ``steal`` are shares of all processors' time, 0 to 1: what other processes used, and what the host of
    a virtual machine gave to others; ``load_average`` is that of the last minute, ``clock_mhz`` the processors' (and
    ``device_clock_mhz`` the GPU's), at begin and end, None where they cannot be read.
    """
    total = max(end.total - begin.total, 1e-9)
    steal = (end.steal - begin.steal) / total
    busy = 1 - (end.idle - begin.idle) / total - steal
    return {
        "load_average": [begin.load_average, end.load_average],
        "clock_mhz": [begin.clock_mhz, end.clock_mhz],
        "device_clock_mhz": _device_clock(device),
        "others": round(max(0.0, busy - (end.own - begin.own) / total), 3),
        "steal": round(max(0.0, steal), 3),
    }


def _device_clock(device: torch.device) -> int | None:
    if device.type != "cuda":
        return None
    try:
        return torch.cuda.clock_rate(device)
    except Exception:  # needs NVIDIA's management library, which torch does not bring
        return None
