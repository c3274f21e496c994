"""What a protocol does to maps: normalise, resize, lay over the image."""

import torch
import torch.nn.functional as F
from torch import Tensor

from reciprocam_bench.protocols.protocol import Geometry, Upsample


def upsample(maps: Tensor, how: Upsample, size: tuple[int, int]) -> Tensor:
    """Normalised maps ``(N, h, w)`` to image size ``(N, H, W)``."""
    align = None if how.mode == "nearest" else False
    found = F.interpolate(maps[:, None], size=size, mode=how.mode, align_corners=align, antialias=how.antialias)[:, 0]
    return found.clamp(0, 1) if how.clamp else found


def masked(images: Tensor, saliency: Tensor, mean: Tensor, std: Tensor, *, raw: bool) -> Tensor:
    """Explanation images: preprocessed ``(N, 3, H, W)`` seen through ``(N, H, W)``.

    The normalised tensor is multiplied, so that black is the data set's mean; ``raw`` masks the pixels before the
    normalisation with ``mean`` and ``std``, so that black is black.
    """
    saliency = saliency[:, None]
    if not raw:
        return images * saliency
    mean, std = mean.view(1, -1, 1, 1), std.view(1, -1, 1, 1)
    return ((images * std + mean) * saliency - mean) / std


def on_original(maps: Tensor, geometry: Geometry, width: int, height: int) -> Tensor:
    """Normalised maps of images of one size, resampled bilinearly to the images' own pixels.

    ``(G, h, w) -> (G, height, width)``. Exact through resize and crop: each pixel's centre is looked up where the
    network saw it. Pixels that it did not see are 0.
    """
    left, top, right, bottom = geometry.view(width, height)
    x = ((torch.arange(width, device=maps.device) + 0.5 - left) / (right - left)).to(maps)
    y = ((torch.arange(height, device=maps.device) + 0.5 - top) / (bottom - top)).to(maps)
    grid = torch.stack(torch.meshgrid(2 * x - 1, 2 * y - 1, indexing="xy"), dim=-1).expand(len(maps), -1, -1, -1)
    found = F.grid_sample(maps[:, None], grid, mode="bilinear", padding_mode="border", align_corners=False)[:, 0]
    seen = ((y >= 0) & (y < 1))[:, None] & ((x >= 0) & (x < 1))[None, :]
    return found * seen


def normalise(maps: Tensor) -> Tensor:
    """Min-max each map to [0, 1], ``(N, h, w)``; a constant map, or one with a NaN or infinity, becomes all 0.

    A map without contrast marks nothing, so it is judged as one that shows a black image, and its row says so.
    """
    good = maps.isfinite().all(-1).all(-1)[:, None, None]
    maps = maps.where(good, maps.new_tensor(0.0))
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / (high - low).where(high > low, maps.new_tensor(1.0))


def map_status(maps: Tensor) -> list[str]:
    """``ok``, ``constant`` or ``nan`` (any value not finite) for each raw map."""
    finite = maps.isfinite().all(-1).all(-1)
    constant = maps.amax((1, 2)) == maps.amin((1, 2))
    return [
        "nan" if not f else "constant" if c else "ok" for f, c in zip(finite.tolist(), constant.tolist(), strict=True)
    ]
