"""What the processors' counters say of a machine."""

import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest
import torch

from reciprocam_bench.runfolder.doubt import busy
from reciprocam_bench.timing.machine import Reading, between

CPU = torch.device("cpu")
BEGIN = Reading(total=100, idle=50, steal=1, own=10, load_average=0.5, clock_mhz=2000)


def later(idle: float, steal: float, own: float) -> Reading:
    return replace(BEGIN, total=120, idle=50 + idle, steal=1 + steal, own=10 + own, load_average=1.5)


def test_work_of_others_is_told_from_ones_own() -> None:
    machine = between(BEGIN, later(idle=4, steal=0, own=10), CPU)
    assert machine["others"] == 0.3 and machine["steal"] == 0.0
    assert machine["load_average"] == [0.5, 1.5] and machine["clock_mhz"] == [2000, 2000]
    assert "used 30 % of the processors" in busy(machine)


def test_an_idle_machine_is_not_warned_of() -> None:
    assert not busy(between(BEGIN, later(idle=9, steal=0, own=10), CPU))
    assert not busy({})  # a run that was not timed


def test_stolen_time_is_warned_of() -> None:
    machine = between(BEGIN, later(idle=9, steal=1, own=10), CPU)
    assert machine["steal"] == 0.05 and machine["others"] == 0.0
    assert "the host took 5 %" in busy(machine)


def test_it_is_read_from_this_machine() -> None:
    begin = Reading.now()
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass
    end = Reading.now()
    assert end.own - begin.own >= 0.25 and end.total > begin.total
    machine = between(begin, end, CPU)
    assert 0 <= machine["others"] <= 1 and 0 <= machine["steal"] <= 1


def test_what_cannot_be_read_of_a_machine_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended:
        def cpu_times(self) -> None:
            raise psutil.NoSuchProcess(1)

    def unreadable() -> None:
        raise NotImplementedError("can't find current frequency file")

    monkeypatch.setattr(psutil, "cpu_freq", unreadable)
    monkeypatch.setattr(psutil.Process, "children", lambda self, recursive: [Ended()])
    assert Reading.now().clock_mhz is None and Reading.now().own > 0


def test_processes_of_ones_own_that_have_ended_are_ones_own() -> None:
    begin = Reading.now()
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.4: pass"], check=True)
    assert Reading.now().own - begin.own >= 0.35
