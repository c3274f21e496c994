"""Networks of a library, made small where their size proves nothing."""

import torch
import torchvision
from torch import nn


def vgg11(classes: int) -> nn.Module:
    """torchvision's VGG-11, whose head minds the position, with 32 neurons for twice 4096: 40 MB for 500."""
    with torch.device("meta"):
        net = torchvision.models.vgg11(num_classes=classes, init_weights=False)
    net.classifier = nn.Sequential(nn.Linear(512 * 7 * 7, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, classes))
    net.features.to_empty(device="cpu")
    for conv in (m for m in net.features if isinstance(m, nn.Conv2d)):
        conv.reset_parameters()
    return net
