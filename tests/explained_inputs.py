"""What ``rcam-bench explain`` is given in tests: a picture, and a network of one's own."""

from pathlib import Path

import numpy as np
from PIL import Image

RANDOM = "note: the weights are random (weights: none): such heat looks convincing and means nothing\n"
NET = """
import torch
from torch import nn

class Tiny(nn.Module):
    def __init__(self, outputs=3):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.ReLU())
        self.fc = nn.Linear(8, outputs)

    def forward(self, x):
        return self.fc(self.stem(x).mean((2, 3)))

def make(outputs=3):
    torch.manual_seed(0)
    return Tiny(outputs)
"""


def draw(path: Path, size: tuple[int, int] = (60, 40)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize(size).save(path)
    return path
