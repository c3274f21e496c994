"""Recognise a head that is global average pooling and one linear layer."""

import torch
from torch import nn

from reciprocam_bench.backbones.backbone import LinearHead


def find_linear_head(
    head: nn.Module, feature_shape: tuple[int, int, int], num_classes: int, device: torch.device
) -> LinearHead | None:
    """Return the head's weights if ``head(A) == linear(mean(A))``, else None.

    Recognised by what it does, not by its name: a candidate layer of the right size is compared with the head on
    random maps of both signs, which no head with a ReLU, a norm or another pooling in it would pass.
    """
    channels = feature_shape[0]
    dtype = next((p.dtype for p in head.parameters()), torch.float32)
    generator = torch.Generator().manual_seed(0)
    probe = torch.randn((4, *feature_shape), generator=generator).to(device, dtype)
    with torch.no_grad():
        logits = head(probe)
        for module in head.modules():
            linear = _as_linear(module, channels, num_classes)
            if linear is None:
                continue
            expected = probe.mean((2, 3)) @ linear.weight.T + linear.bias
            if torch.allclose(logits, expected, rtol=1e-3, atol=1e-4 * max(1.0, float(logits.abs().max()))):
                return linear
    return None


def _as_linear(module: nn.Module, channels: int, num_classes: int) -> LinearHead | None:
    if not isinstance(module, (nn.Linear, nn.Conv2d)) or module.weight.numel() != channels * num_classes:
        return None
    if module.weight.shape[:2] != (num_classes, channels):
        return None
    weight = module.weight.detach().reshape(num_classes, channels)
    bias = torch.zeros_like(weight[:, 0]) if module.bias is None else module.bias.detach()
    return LinearHead(weight, bias)
