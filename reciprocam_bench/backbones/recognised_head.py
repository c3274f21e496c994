"""Recognise a head that is global average pooling and one linear layer."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from reciprocam_bench.backbones.backbone import LinearHead


def find_linear_head(
    head: nn.Module, feature_shape: tuple[int, int, int], num_classes: int, device: torch.device
) -> LinearHead | None:
    """Return the head's weights if ``head(A) == linear(mean(A))``, else None.

    Recognised by what it does, not by its name: a candidate layer of the right size is compared with the head on
    random maps of both signs, which no head with a ReLU, a norm or another pooling in it would pass. Maps of another
    size tell whether it pools by a window of fixed size.
    """
    channels, h, w = feature_shape
    dtype = next((p.dtype for p in head.parameters()), torch.float32)
    probe = _probe(channels, h, w).to(device, dtype)
    with torch.no_grad():
        logits = head(probe)
        for module in head.modules():
            linear = _as_linear(module, channels, num_classes)
            if linear is not None and _alike(linear, probe, logits):
                other = _probe(channels, h + 1, w + 2).to(device, dtype)
                return linear if _holds(head, linear, other) else replace(linear, size=(h, w))
    return None


def _probe(channels: int, h: int, w: int) -> Tensor:
    return torch.randn((4, channels, h, w), generator=torch.Generator().manual_seed(0))


def _alike(linear: LinearHead, maps: Tensor, logits: Tensor) -> bool:
    expected = maps.mean((2, 3)) @ linear.weight.T + linear.bias
    atol = 1e-4 * max(1.0, float(logits.abs().max()))
    return logits.shape == expected.shape and torch.allclose(logits, expected, rtol=1e-3, atol=atol)


def _holds(head: nn.Module, linear: LinearHead, maps: Tensor) -> bool:
    try:
        return _alike(linear, maps, head(maps))
    except Exception:  # a head that takes one size alone may refuse others in every way there is
        return False


def _as_linear(module: nn.Module, channels: int, num_classes: int) -> LinearHead | None:
    if not isinstance(module, (nn.Linear, nn.Conv2d)) or module.weight.numel() != channels * num_classes:
        return None
    if module.weight.shape[:2] != (num_classes, channels):
        return None
    weight = module.weight.detach().reshape(num_classes, channels)
    bias = torch.zeros_like(weight[:, 0]) if module.bias is None else module.bias.detach()
    return LinearHead(weight, bias)
