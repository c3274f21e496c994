"""Increase in confidence: how often the explanation alone convinces the network more than the image."""

from torch import Tensor

from reciprocam_bench.metrics.registry import metric


@metric("increase", higher_is_better=True)
def increase(probability: Tensor, masked_probability: Tensor) -> Tensor:
    """``1 if o > y else 0``, strictly (Chattopadhay et al. 2018), ``(N,)``.

    Pitfall: where the network is sure of the image, hardly anything can increase.
    """
    return (masked_probability > probability).float()
