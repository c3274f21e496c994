"""Recipro-CAM on earlier layers: the paper's formula, run through the user's own modules one mask at a time."""

import pytest
import torch
import torchvision
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.backbones.backbone import Preprocessing
from reciprocam_bench.backbones.weights import read_state
from reciprocam_bench.datasets.images import preparation, read_picture
from reciprocam_bench.protocols.protocol import load_protocol

pytestmark = pytest.mark.slow

KERNEL = [[1 / 16, 1 / 8, 1 / 16], [1 / 8, 1 / 4, 1 / 8], [1 / 16, 1 / 8, 1 / 16]]
CLASS = 207


@pytest.fixture(scope="module")
def resnet(weights_dir) -> nn.Module:
    """The real ResNet-18, uncut."""
    net = torchvision.models.resnet18()
    net.load_state_dict(read_state(weights_dir / "torchvision" / "resnet18.pth"))
    return net.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def photo(data) -> torch.Tensor:
    """A real image as the ImageNet protocol prepares it."""
    prepare = preparation(load_protocol("poppi-2021").preprocess, Preprocessing())
    file = sorted((data / "imagenet").glob("*/*.JPEG"))[300]
    return prepare.tensor(prepare.picture(read_picture(str(file))))[None]


def by_formula(net: nn.Module, image: torch.Tensor, layer: str, c: int, mask: str, rows: list[int]) -> torch.Tensor:
    """``softmax(rest(A * m_ij))_c`` for i in ``rows``: stem to ``layer`` and what follows, as torchvision's forward."""
    names = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool"]
    x = image[None]
    for name in names[: names.index(layer) + 1]:
        x = getattr(net, name)(x)
    h, w = x.shape[2:]
    found = torch.zeros(len(rows), w)
    for n, i in enumerate(rows):
        copies = []
        for j in range(w):
            alone = torch.zeros_like(x[0])
            if mask == "one-hot":
                alone[:, i, j] = x[0, :, i, j]
            else:
                for a in (-1, 0, 1):
                    for b in (-1, 0, 1):
                        if 0 <= i + a < h and 0 <= j + b < w:
                            alone[:, i + a, j + b] = KERNEL[a + 1][b + 1] * x[0, :, i, j]
            copies.append(alone)
        rest = torch.stack(copies)
        for name in names[names.index(layer) + 1 :]:
            rest = getattr(net, name)(rest)
        found[n] = net.fc(rest.flatten(1)).softmax(1)[:, c]
    return found


# Both borders and a row between; an early layer on a part of the image, as each of its masks is half a forward pass.
@pytest.mark.parametrize(
    ("layer", "side", "mask", "rows"),
    [
        ("layer4", 7, "one-hot", [*range(7)]),
        ("layer3", 14, "one-hot", [0, 5, 13]),
        ("layer3", 14, "gaussian", [0, 5, 13]),
        ("layer2", 12, "one-hot", [0, 5, 11]),
    ],
)
def test_it_is_the_papers_formula_on_a_real_network_and_image(resnet, photo, layer, side, mask, rows):
    if layer == "layer2":
        photo = photo[:, :, 64:160, 64:160]
    backbone = rb.split_backbone(resnet, photo, layer)
    maps = rb.explain(backbone, photo, CLASS, "reciprocam", mask=mask)
    assert maps.shape == (1, side, side)
    with torch.no_grad():
        expected = by_formula(resnet, photo[0], layer, CLASS, mask, rows)[None]
    # Probabilities of one position alone are about 1e-3; folding batch norms leaves 1e-6 of the largest.
    torch.testing.assert_close(maps[:, rows], expected, rtol=1e-3, atol=1e-5 * expected.max().item())
    assert expected.std() > 1e-3 * expected.max()
