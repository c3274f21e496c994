"""One network twice, as we run it and as users of other libraries have it, and the images it is asked about."""

import copy
from dataclasses import dataclass, replace
from pathlib import Path

import timm
import torch
import torchvision
from torch import Tensor, nn

import reciprocam_bench as rb
from reciprocam_bench.backbones.weights import load_file_into, local_file, package_file
from reciprocam_bench.errors import UserError
from reciprocam_bench.timing.measure import fresh_copy

_PICTURES = {".jpg", ".jpeg", ".png"}


@dataclass(frozen=True)
class Subject:
    """A network and images.

    Attributes:
        backbone: the network as we run it, split and with folded batch norms.
        plain: the same network as its library makes it: batch norms, weights that ask for gradients, ``eval`` mode.
        images: preprocessed, ``(N, 3, H, W)``.
        classes: the predicted class of each, ``(N,)``.
    """

    backbone: rb.Backbone
    plain: nn.Module
    images: Tensor
    classes: Tensor

    def own_plain(self) -> nn.Module:
        """The plain network on weights of its own, for a library to hang hooks on."""
        return copy.deepcopy(self.plain)

    def layer_of(self, network: nn.Module) -> nn.Module:
        """The layer that is explained, in a copy of the plain network."""
        return network.get_submodule(self.backbone.layer)

    def first(self, count: int) -> "Subject":
        """The same with so many images."""
        return replace(self, images=self.images[:count], classes=self.classes[:count])

    def elsewhere(self) -> "Subject":
        """The same network and images elsewhere in memory, as every block of rounds has them."""
        backbone, images = fresh_copy(self.backbone, self.images)
        return replace(self, backbone=backbone, plain=self.own_plain(), images=images)


def load_subject(model: str, weights: str, folder: Path, count: int, seed: int = 0) -> Subject:
    """Load a network and the first images of a folder, in the order of their names.

    Raises ``UserError`` for a network whose two forms disagree, and for a folder with too few images.
    """
    torch.manual_seed(seed)
    backbone = rb.load_backbone(model, weights)
    torch.manual_seed(seed)  # random weights, where that is what was asked for, are the same ones
    plain = _plain(model, weights)
    images = backbone.prepare(rb.preprocess(backbone, [rb.read_picture(p) for p in _pictures(folder, count)]))
    with torch.no_grad():
        ours, theirs = backbone(images), plain(images)
    if not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3 * float(theirs.abs().max())):
        raise UserError(f"{model}: the split network and the plain one differ by {float((ours - theirs).abs().max())}")
    return Subject(backbone, plain, images, ours.argmax(1))


def _plain(model: str, weights: str) -> nn.Module:
    library, _, name = model.partition("/")
    module = torchvision.models.get_model(name) if library == "torchvision" else timm.create_model(name)
    path = None if weights == "none" else package_file(weights) or local_file(library, name)
    if path is not None:
        load_file_into(module, path, model)
    elif weights != "none":
        raise UserError(f"{model}: no weights file; put one under RCAM_WEIGHTS_DIR, or take --weights none")
    return module.eval()


def _pictures(folder: Path, count: int) -> list[Path]:
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _PICTURES)
    if len(paths) < count:
        raise UserError(f"--images {folder}: {len(paths)} pictures there; {count} are needed")
    return paths[:: len(paths) // count][:count]  # spread over the folder, whose beginning is often one class
