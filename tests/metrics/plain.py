"""Plain NumPy counterparts that several tests of metrics compare with."""

from collections.abc import Callable

import numpy as np
import torch

import reciprocam_bench as rb


def rise_kernel() -> np.ndarray:
    """A Gaussian of sigma 5 and radius 20 around the middle of 11 places, folded back at both ends; ``(11,)``."""
    found = np.zeros(11)
    for distance in range(-20, 21):
        place = (5 + distance) % 22
        found[min(place, 21 - place)] += np.exp(-(distance**2) / 50)
    return found / found.sum()


def softmax_of(backbone: rb.Backbone, index: int) -> Callable[[np.ndarray], float]:
    """The network as a function of one image ``(3, H, W)`` to the probability of one class."""

    def ask(image: np.ndarray) -> float:
        with torch.no_grad():
            return backbone(torch.from_numpy(image).float()[None]).softmax(1)[0, index].item()

    return ask
