"""Plain NumPy counterparts that several tests of metrics compare with."""

from collections.abc import Callable
from itertools import product

import numpy as np
import torch
from scipy.sparse import lil_matrix
from scipy.sparse.linalg import spsolve

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


def imputed(image: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """ROAD's linear imputation of ``(C, H, W)`` in float64: one equation a missing pixel, solved as a sparse system."""
    height, width = missing.shape
    unknown = {pixel: i for i, pixel in enumerate(zip(*np.nonzero(missing), strict=True))}
    matrix, right = lil_matrix((len(unknown), len(unknown))), np.zeros((len(unknown), len(image)))
    for (y, x), i in unknown.items():
        for dy, dx in product((-1, 0, 1), repeat=2):
            neighbour = (y + dy, x + dx)
            if (dy, dx) == (0, 0) or not (0 <= neighbour[0] < height and 0 <= neighbour[1] < width):
                continue
            weight = 1 / 12 if dy and dx else 1 / 6
            matrix[i, i] += weight
            if neighbour in unknown:
                matrix[i, unknown[neighbour]] -= weight
            else:
                right[i] += weight * image[:, neighbour[0], neighbour[1]]
    found = image.astype(float).copy()
    found[:, missing] = spsolve(matrix.tocsc(), right).reshape(len(unknown), -1).T
    return found
