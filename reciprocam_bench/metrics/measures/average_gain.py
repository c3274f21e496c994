"""Average gain: how much of the confidence that was missing the explanation alone brings."""

from torch import Tensor

from reciprocam_bench.metrics.registry import metric


@metric("average_gain", title="Gain", higher_is_better=True)
def average_gain(probability: Tensor, masked_probability: Tensor) -> Tensor:
    """``max(0, o - y) / (1 - y)`` (Zhang et al. 2024, Opti-CAM; as in Xplique), ``(N,)`` in [0, 1].

    ``y`` is the class's probability on the image, ``o`` on the explanation map; 1e-8 in the denominator.

    Pitfall: where the network is sure of the image, the little that is left to gain decides.
    """
    return (masked_probability - probability).clamp(min=0) / (1 - probability + 1e-8)
