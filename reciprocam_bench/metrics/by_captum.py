"""What metrics share that captum computes: how often they draw noise, and the noise."""

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.explainers.noise import generators

Count = Annotated[int, Field(ge=1, le=1000)]
Size = Annotated[float, Field(gt=0)]
DRAWS = 10
CAPTUM = {"captum": "pip install captum"}
_SEED = 0


def draws_of(options: dict[str, Any]) -> int:
    """How often a metric with these options draws."""
    return options.get("draws", DRAWS)


def noise_of(fp: ForwardPass, draw: Callable[[torch.Size, torch.Generator], Tensor]) -> Iterator[Tensor]:
    """For ever: a draw for each image of the batch, ``(N, C, H, W)``."""
    streams = generators(fp, _SEED)
    while True:
        yield torch.stack([draw(fp.images.shape[1:], stream) for stream in streams]).to(fp.images)
