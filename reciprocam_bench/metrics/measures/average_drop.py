"""Average drop: how much confidence is lost when only the explanation is seen."""

from torch import Tensor

from reciprocam_bench.metrics.registry import metric


@metric("average_drop", title="Drop", higher_is_better=False)
def average_drop(probability: Tensor, masked_probability: Tensor) -> Tensor:
    """``max(0, y - o) / y`` (Chattopadhay et al. 2018; as coded by Poppi et al. 2021), ``(N,)`` in [0, 1].

    ``y`` is the class's softmax probability on the image, ``o`` on the explanation map. A probability that has
    underflowed to 0 cannot drop: the value is 0.

    Pitfall: a map that marks everything has no drop.
    """
    drop = (probability - masked_probability).clamp(min=0)
    return drop / probability.where(probability > 0, probability.new_tensor(1.0))
