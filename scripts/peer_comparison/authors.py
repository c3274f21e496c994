"""Recipro-CAM as its paper and its authors' code are described, in plain loops; written from that description.

The description: a batch of copies of the layer's map, one position left in each; softmax of the class; the map scaled
to [0, 1]. The released code does it with a hook on the layer's last ReLU. In torchvision's residual blocks that one
module runs several times a block, so the copies are made as often and most of their convolutions are for nothing. Who
only knows the formula may run the whole network once a position (`position_by_position`); the authors do not.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Explain = Callable[[Tensor, int], Tensor]


def scaled(cam: Tensor) -> Tensor:
    """A map ``(h, w)`` to [0, 1]; constant ones have no guard there either."""
    return (cam - cam.min()) / (cam.max() - cam.min())


def one_position_each(maps: Tensor) -> Tensor:
    """``(1, C, h, w)`` to copies with one position left, ``(h*w, C, h, w)``: a Python loop over positions."""
    _, _, h, w = maps.shape
    copies = []
    for i in range(h):
        for j in range(w):
            mask = torch.zeros_like(maps)
            mask[:, :, i, j] = 1.0
            copies.append(maps * mask)
    return torch.cat(copies)


def hooked(network: nn.Module, layer: nn.Module) -> Explain:
    """The released code's way: image ``(1, 3, H, W)`` and class to a map ``(h, w)`` in [0, 1].

    The original map stays in the batch behind its copies, so that the ReLU's next call finds it.
    """
    relus = [module for module in layer.modules() if isinstance(module, nn.ReLU)]
    shape: list[int] = []

    def expand(module: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        shape[:] = output.shape[2:]
        return torch.cat([one_position_each(output[-1:]), output[-1:]])

    (relus[-1] if relus else layer).register_forward_hook(expand)

    @torch.no_grad()
    def explain(image: Tensor, label: int) -> Tensor:
        scores = network(image).softmax(1)[:-1, label]
        return scaled(scores.view(*shape))

    return explain


def in_two_halves(features: Callable[[Tensor], Tensor], head: Callable[[Tensor], Tensor]) -> Explain:
    """The first scripts' way: the network is cut behind the layer, and the second half sees the copies."""

    @torch.no_grad()
    def explain(image: Tensor, label: int) -> Tensor:
        maps = features(image)
        scores = head(one_position_each(maps)).softmax(1)[:, label]
        return scaled(scores.view(maps.shape[2:]))

    return explain


def position_by_position(network: nn.Module, layer: nn.Module) -> Explain:
    """The formula as it stands, not the authors' code: a whole forward pass for each position of the map."""
    shape: list[int] = []
    left: list[int | None] = [None]

    def mask(module: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        shape[:] = output.shape[2:]
        if left[0] is None:
            return output
        masked = torch.zeros_like(output)
        masked.flatten(2)[:, :, left[0]] = output.flatten(2)[:, :, left[0]]
        return masked

    layer.register_forward_hook(mask)

    @torch.no_grad()
    def explain(image: Tensor, label: int) -> Tensor:
        left[0] = None
        network(image)
        scores = []
        for left[0] in range(shape[0] * shape[1]):
            scores.append(network(image).softmax(1)[0, label])
        return scaled(torch.stack(scores).view(*shape))

    return explain


@torch.no_grad()
def adcc_of_scripts(network: nn.Module, explain: Explain, images: Tensor, classes: Tensor) -> float:
    """ADCC of the authors' metric scripts: maps image by image, coherency and complexity on maps of feature size."""
    drops, coherencies, complexities = [], [], []
    for image, label in zip(images.split(1), classes.tolist(), strict=True):
        cam = explain(image, label)
        large = F.interpolate(cam[None, None], image.shape[2:], mode="bicubic", antialias=True)
        masked = image * large
        before, after = (network(x).softmax(1)[0, label] for x in (image, masked))
        drops.append(F.relu(before - after) / before)
        again = explain(masked, label)
        coherencies.append(coherency(cam, again))
        complexities.append(cam.mean())
    return adcc(drops, coherencies, complexities)


def coherency(one: Tensor, other: Tensor) -> Tensor:
    """Pearson's correlation of two maps, from 0 to 1."""
    return (1 + torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1]) / 2


def adcc(drops: list[Tensor], coherencies: list[Tensor], complexities: list[Tensor]) -> float:
    """The harmonic mean of the data set's three terms."""
    drop, coherent, complexity = (float(torch.stack(v).mean()) for v in (drops, coherencies, complexities))
    return 3 / (1 / coherent + 1 / (1 - complexity) + 1 / (1 - drop))
