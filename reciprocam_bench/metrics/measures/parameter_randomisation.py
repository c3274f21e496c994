"""Parameter randomisation: whether maps change with the network that they are said to explain."""

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from reciprocam_bench.metrics.correlation import spearman
from reciprocam_bench.metrics.perturbed import Ask
from reciprocam_bench.metrics.registry import metric

_STEPS = 4


def _explained(options: dict[str, Any]) -> int:
    return options.get("steps", _STEPS)


@metric("parameter_randomisation", title="Randomisation", higher_is_better=False, explains=_explained)
def parameter_randomisation(
    images: Tensor, raw: Tensor, explain: Ask, *, steps: Annotated[int, Field(ge=1, le=1000)] = _STEPS
) -> Tensor:
    """Mean Spearman of the map and of those of the network with ever more fresh weights, ``(N,)`` in [-1, 1].

    Adebayo et al. 2018 (arXiv 1810.03292), cascading: ``steps`` equal shares of the layers lose their weights, from the
    last layer to the first, and stay without them; ``steps: 1`` is the network without any of its own, but for bare
    parameters such as position embeddings. The map of the network itself does not count. 0 where a map is constant. The
    network's batch norms are folded, so values do not compare with those of libraries that randomise it as it was.

    Pitfall: a low value alone is no merit; maps without any sense may have it, too.
    """
    rows = torch.arange(len(images), device=images.device)
    maps = [explain(images, rows, fresh=step / steps) for step in range(1, steps + 1)]
    found = torch.stack([spearman(raw.flatten(1), other.flatten(1)).nan_to_num(nan=0.0) for other in maps])
    return found.mean(0)
