"""Masked copies of an image, or of its feature map, run in chunks that fit the memory."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from reciprocam_bench.backbones.backbone import Backbone

# Where shapes are fixed, chunks are multiples of this: batches whose number of copies differs a little share a shape.
_STEP = 16


def _ignore(share: float) -> None:
    """Nobody watches the progress."""


def in_chunks(
    backbone: Backbone,
    count: int,
    compute: Callable[[Tensor], Tensor],
    *,
    bytes_each: int | None = None,
    progress: Callable[[float], None] = _ignore,
    pad: bool = True,
) -> Iterator[Tensor]:
    """Values of ``count`` rows, chunk by chunk: ``compute(rows (M,)) -> (M, ...)``, with no more rows than fit at once.

    Chunks are as equal as they can be. One that runs out of memory is computed again in halves, as are all that follow
    in this process; a single row that does not fit raises ``torch.OutOfMemoryError``. What ``compute`` gives must
    belong to its rows alone, and it must leave nothing behind before it returns.

    Args:
        backbone: whose memory and device count.
        count: how many rows.
        compute: is given indices on the backbone's device.
        bytes_each: what one row needs; a full forward pass of an image if left out.
        progress: is told the share that is done, 0 to 1.
        pad: repeat the last row until all chunks are of one size, where shapes are fixed (CUDA graphs).
    """
    padded = pad and backbone.arithmetic.fixed_shapes
    done, size = 0, backbone.chunk_size(bytes_each)
    while done < count:
        width = _width(count if padded else count - done, size, padded)
        rows = torch.arange(done, done + width, device=backbone.device)
        try:
            values = compute(rows.clamp(max=count - 1) if padded else rows)
        except torch.OutOfMemoryError:
            if width == 1:
                raise
            values = None
        if values is None:  # outside the handler, which keeps what the failed chunk holds alive
            backbone.chunking.halve(width)
            size = min(backbone.chunk_size(bytes_each), max(1, width // 2))
            continue
        kept = min(width, count - done)
        done += kept
        progress(done / count)
        yield values[:kept]


def _width(count: int, size: int, padded: bool) -> int:
    """Rows a chunk, where ``count`` rows go in as few chunks of at most ``size`` as there can be."""
    width = -(-count // -(-count // size))
    return min(size, -(-width // _STEP) * _STEP) if padded else width
