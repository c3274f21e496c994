"""A small network that knows the shapes of the synthetic pictures: trained in about a minute, and kept."""

import sys
from pathlib import Path
from time import monotonic

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from reciprocam_bench.backbones.backbone import Preprocessing
from reciprocam_bench.cache import made_once
from reciprocam_bench.datasets.shapes import SHAPES, VERSION, draw
from reciprocam_bench.engine.progress import Progress
from reciprocam_bench.errors import UserError

RECIPE = 1  # of network and training; kept weights of another one are not used
_BATCH = 64
_RATE = 6e-3  # at its highest
_HELD_OUT = 512  # pictures that say how well it knows them
_LEAST = 0.9  # of them; what a network shows that does not know the shapes is no truth
_WEIGHTS = "weights.safetensors"


class ShapeNet(nn.Module):
    """Four convolutions to 96 maps of 8x8 (for pictures of 64x64), global average pooling, one linear layer.

    A position of the last maps sees 33x33 pixels, so that it can hold a whole shape.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _block(3, 24, 5, 2), _block(24, 48, 3, 2), _block(48, 64, 3, 2), _block(64, 96, 3, 1)
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(96, len(SHAPES))

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, 8)`` of images ``(N, 3, 64, 64)``, normalised as `Preprocessing` does by default."""
        return self.classifier(self.pool(self.features(images)).flatten(1))


def _block(channels: int, out: int, kernel: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU())


def make(*, seed: int = 0, images: int = 6000, epochs: int = 12) -> nn.Module:
    """The network, trained on so many drawn pictures; a later call with the same options reads the weights.

    They lie in ``$RCAM_CACHE_DIR`` or the user's cache folder. Equal seeds give equal weights on one processor and
    number of threads; elsewhere sums are rounded in another order.

    Raises:
        UserError: where the network did not learn the shapes, the weights are damaged, or nothing can be written.
    """
    name = f"shape_network/v{VERSION}.{RECIPE}-seed{seed}-{images}x{epochs}"
    folder = made_once(name, lambda place: _train_into(place, seed, images, epochs))
    network = ShapeNet().eval()
    try:
        network.load_state_dict(load_file(str(folder / _WEIGHTS)))
    except (OSError, SafetensorError, RuntimeError):
        raise UserError(f"{folder / _WEIGHTS} is damaged; delete {folder}, it is made again") from None
    return network


def _train_into(place: Path, seed: int, images: int, epochs: int) -> None:
    _say(f"training the network of the synthetic pictures: {images} pictures, {epochs} epochs, about a minute; once")
    begun = monotonic()
    network, accuracy = train(seed, images, epochs)
    if accuracy < _LEAST:
        raise UserError(f"it names {100 * accuracy:.0f} % of the held-out pictures; give it more images or epochs")
    about = {"seed": str(seed), "images": str(images), "epochs": str(epochs), "held_out_accuracy": f"{accuracy:.4f}"}
    save_file(network.state_dict(), str(place / _WEIGHTS), about)
    _say(f"trained in {monotonic() - begun:.0f} s: {100 * accuracy:.1f} % of {_HELD_OUT} held-out pictures are right")


def train(seed: int, images: int, epochs: int) -> tuple[nn.Module, float]:
    """Fit by AdamW, whose rate rises and falls once; the network and its accuracy on held-out pictures, 0 to 1."""
    generator = torch.Generator().manual_seed(seed)
    x, y = pictures(images, seed, "train")
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(seed)
        network = ShapeNet().train()
        optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=0.01)
        steps = epochs * -(-images // _BATCH)
        rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps)
        with Progress(epochs, "epochs", "training") as progress:
            for _ in range(epochs):
                for rows in torch.randperm(images, generator=generator).split(_BATCH):
                    loss = F.cross_entropy(network(prepared(x[rows])), y[rows], label_smoothing=0.05)
                    optimiser.zero_grad()
                    loss.backward()
                    optimiser.step()
                    rate.step()
                progress.advance(1)
    network.eval()
    return network, accuracy_of(network, *pictures(_HELD_OUT, seed, "held-out"))


def pictures(count: int, seed: int, stream: str) -> tuple[Tensor, Tensor]:
    """Drawn pictures ``(N, 3, 64, 64)`` uint8 and their labels ``(N,)``; a stream of its own for each use."""
    drawings = [draw(index, seed, stream) for index in range(count)]
    pixels = torch.from_numpy(np.stack([drawing.pixels for drawing in drawings]))
    return pixels.permute(0, 3, 1, 2), torch.tensor([drawing.label for drawing in drawings])


def prepared(pixels: Tensor) -> Tensor:
    """Pictures as a run feeds them to the network."""
    known = Preprocessing()
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (known.mean, known.std))
    return (pixels / 255 - mean) / std


@torch.no_grad()
def accuracy_of(network: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of the pictures whose shape the network names."""
    named = torch.cat([network(prepared(part)).argmax(1) for part in x.split(256)])
    return float((named == y).float().mean())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
