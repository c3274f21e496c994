"""Complexity: how much of the picture a map marks."""

from torch import Tensor

from reciprocam_bench.metrics.registry import metric


@metric("complexity", higher_is_better=False)
def complexity(explanation: Tensor) -> Tensor:
    """``sum |M| / (h w)``, the L1 norm per pixel of the normalised map (Poppi et al. 2021), ``(N,)``.

    Pitfall: a single bright pixel anywhere is as good as perfect.
    """
    return explanation.abs().mean((1, 2))
