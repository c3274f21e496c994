"""The Score-CAM family as plain loops over channels, written from the definitions."""

import dataclasses

import torch
import torch.nn.functional as F
from torch import nn

from reciprocam_bench.explainers.forward_pass import ForwardPass

VARIANTS = ["paper", "torch-cam", "grad-cam"]


def constant(channel: torch.Tensor) -> bool:
    """Asked before upsampling, which gives a constant a ripple of rounding errors."""
    return bool(channel.max() == channel.min())


def minmax(values: torch.Tensor) -> torch.Tensor:
    return (values - values.min()) / (values.max() - values.min())


def upsampled(channel: torch.Tensor, size: torch.Size, align_corners: bool = False) -> torch.Tensor:
    return F.interpolate(channel[None, None], size=size, mode="bilinear", align_corners=align_corners)[0, 0]


def paper(net: nn.Module, image: torch.Tensor, features: torch.Tensor, c: int, channels: list[int]) -> torch.Tensor:
    """haofanwang/Score-CAM: probability as weight; channels with max = min are skipped."""
    total = torch.zeros_like(features[0])
    for k in channels:
        if not constant(features[k]):
            mask = minmax(upsampled(features[k], image.shape[1:]))
            total += net((image * mask)[None]).softmax(1)[0, c] * features[k]
    return total.clamp(min=0)


def torch_cam(net: nn.Module, image: torch.Tensor, features: torch.Tensor, c: int, channels: list[int]) -> torch.Tensor:
    """Min-max before upsampling; softmax over channels of the logit's gain over the unmasked image."""
    baseline = net(image[None])[0, c]
    black = torch.zeros(image.shape[1:])
    masks = [black if constant(features[k]) else upsampled(minmax(features[k]), image.shape[1:]) for k in channels]
    gains = torch.stack([net((image * mask)[None])[0, c] - baseline for mask in masks])
    return sum(w * features[k] for w, k in zip(gains.softmax(0), channels, strict=True)).clamp(min=0)


def grad_cam(net: nn.Module, image: torch.Tensor, features: torch.Tensor, c: int, channels: list[int]) -> torch.Tensor:
    """Upsampling with aligned corners, then min-max; softmax over channels of the logit."""
    black = torch.zeros(image.shape[1:])
    masks = [
        black if constant(features[k]) else minmax(upsampled(features[k], image.shape[1:], align_corners=True))
        for k in channels
    ]
    logits = torch.stack([net((image * mask)[None])[0, c] for mask in masks])
    return sum(w * features[k] for w, k in zip(logits.softmax(0), channels, strict=True)).clamp(min=0)


LOOPS = {"paper": paper, "torch-cam": torch_cam, "grad-cam": grad_cam}


def by_loop(variant: str, net: nn.Module, fp: ForwardPass, channels: int | None = None) -> torch.Tensor:
    """The loop of a variant over every image, on its most variable ``channels``."""
    maps = []
    with torch.no_grad():
        for image, features, c in zip(fp.images, fp.features, fp.classes.tolist(), strict=True):
            order = sorted(range(len(features)), key=lambda k: -float(features[k].var()))
            maps.append(LOOPS[variant](net, image, features, c, order[:channels]))
    return torch.stack(maps)


class Counting(nn.Module):
    """Counts the images that pass."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.images = inner, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.images += len(x)
        return self.inner(x)


def counted(fp: ForwardPass) -> tuple[ForwardPass, Counting]:
    counter = Counting(fp.backbone.features)
    return dataclasses.replace(fp, backbone=dataclasses.replace(fp.backbone, features=counter)), counter


def with_features(fp: ForwardPass, change) -> ForwardPass:
    """A forward pass of the same images whose features ``change`` has been at."""
    features = fp.features.clone()
    change(features)
    return dataclasses.replace(fp, features=features)


def assert_maps_close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())
