"""What tensors hold at once."""

import torch

from reciprocam_bench.timing.peak import peak_memory


def test_peak_memory_counts_what_is_held_at_once():
    def call():
        for _ in range(3):  # three times 4 MB, but one after the other
            torch.zeros(1_000_000)

    def greedy():
        return [torch.zeros(1_000_000) for _ in range(3)]

    cpu = torch.device("cpu")
    assert 4_000_000 <= peak_memory(call, cpu) < 5_000_000
    assert 12_000_000 <= peak_memory(greedy, cpu) < 13_000_000
