"""What is compared: calls, in groups that each have one baseline."""

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

import reciprocam_bench as rb

# A call gives maps (N, h, w), or one number (ADCC), or nothing that could be compared.
Result = Tensor | float | None


@dataclass(frozen=True)
class Contender:
    """One way to do the group's job.

    Attributes:
        title: what the tables call it.
        call: does the job once.
        like: the contender of ours whose maps or number this one's should be; None where there is none.
        theirs: whether another library's users run it, in a process whose memory is not set up as ours is.
        times: what the measured time is multiplied by: a job measured in part counts as the whole.
    """

    title: str
    call: Callable[[], Result]
    like: str | None = None
    theirs: bool = False
    times: float = 1.0


def largest_difference(mine: Result, other: Result) -> float | None:
    """Largest difference of two numbers, or of maps in [0, 1]; a smaller map is scaled, resized and scaled again."""
    if isinstance(mine, float) and isinstance(other, float):
        return abs(mine - other)
    if not isinstance(mine, Tensor) or not isinstance(other, Tensor):
        return None
    a, b = (rb.min_max(maps.detach().float().relu()) for maps in (mine, other))
    size = max(a.shape[-2:], b.shape[-2:])
    a, b = (m if m.shape[-2:] == size else _resized(m, size) for m in (a, b))
    return float((a - b).abs().max())


def _resized(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    return rb.min_max(F.interpolate(maps[:, None], size, mode="bilinear")[:, 0])
