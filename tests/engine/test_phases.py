"""Seconds of phases: what a device was given in a phase belongs to it."""

import torch

from reciprocam_bench.engine.phases import Phases


def test_a_phase_ends_when_the_device_is_done(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    gpu = torch.device("cuda")
    phases = Phases({"explain": 2.0}, gpu)
    with phases("explain", "gradcam"):
        assert waited == []
    assert waited == [gpu]
    assert phases.seconds["explain"] > 2 > phases.seconds["explain: gradcam"] > 0
    with Phases({})("explain"):
        pass
    assert waited == [gpu]
