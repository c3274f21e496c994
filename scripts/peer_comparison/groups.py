"""The groups of contenders. Libraries are called as their pages show it, with their defaults, on a plain network.

Each class gets a network of its own, since hooks of one would slow the others, and is set up once, before the clock
runs.
"""

import contextlib
import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytorch_grad_cam
import torch
import torchcam.methods
from captum.attr import LayerGradCam
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor

import reciprocam_bench as rb
from peer_comparison.authors import hooked, in_two_halves
from peer_comparison.contender import Contender
from peer_comparison.subject import Subject
from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.timing.clock import measured

FORWARD = "forward of the folded network"
OURS = (
    "reciprocam",
    "gradcam",
    "gradcam++",
    "layercam",
    "hirescam",
    "xgradcam",
    "ablationcam",
    "eigencam",
    "eigencam[centred=true]",
)
TORCHCAM = {"GradCAM": "gradcam", "GradCAMpp": "gradcam++", "LayerCAM": "layercam", "XGradCAM": "xgradcam"}
GRADCAM = {
    "GradCAM": "gradcam",
    "GradCAMPlusPlus": "gradcam++",
    "LayerCAM": "layercam",
    "HiResCAM": "hirescam",
    "XGradCAM": "xgradcam",
    "EigenCAM": "eigencam[centred=true]",
}
# Batch sizes among which the best is looked for.
_SIZES = (8, 16, 32, 64)


def maps(subject: Subject) -> list[Contender]:
    """Maps of a batch; the baseline is one forward pass of it."""
    images = subject.images
    found = [Contender(FORWARD, partial(_forward, subject.backbone, images))]
    found += [Contender(name, partial(rb.explain, subject.backbone, images, method=name)) for name in OURS]
    network = subject.own_plain()
    found.append(Contender("forward of the plain network", partial(_forward, network, images), theirs=True))
    for name, like in TORCHCAM.items():
        found.append(Contender(f"torch-cam {name}", torchcam_call(subject, name), like, True))
    for name, like in GRADCAM.items():
        found.append(Contender(f"grad-cam {name}", gradcam_call(subject, name), like, True))
    found.append(Contender("captum LayerGradCam", captum_call(subject), "gradcam", True))
    for title, explain in authors(subject).items():
        call = partial(_one_by_one, explain, images, subject.classes.tolist())
        found.append(Contender(f"authors' Recipro-CAM, {title}", call, "reciprocam", True))
    return found


def score_cams(subject: Subject) -> list[Contender]:
    """Score-CAM of one image; the baseline is what our distinct masks cost as forward passes at the best batch size."""
    one = subject.first(1)
    size = best_batch_size(subject.backbone, one.images)
    batch = one.images.expand(size, -1, -1, -1).contiguous(memory_format=torch.channels_last)
    share = distinct_masks(subject) / size / _PASSES
    found = [Contender(MASKS, partial(_forwards, subject.backbone, batch), times=share)]
    for name in ("scorecam", "scorecam[variant=torch-cam]", "scorecam[variant=grad-cam]"):
        found.append(Contender(name, partial(rb.explain, subject.backbone, one.images, method=name)))
    found.append(Contender("torch-cam ScoreCAM", torchcam_call(one, "ScoreCAM"), "scorecam[variant=torch-cam]", True))
    found.append(Contender("grad-cam ScoreCAM", gradcam_call(one, "ScoreCAM"), "scorecam[variant=grad-cam]", True))
    return found


MASKS = "distinct masks as forward passes"
_PASSES = 4  # measured together, since one pass is short beside a Score-CAM


def distinct_masks(subject: Subject) -> int:
    """How many different masks the first image's channels make, constant ones left out."""
    with torch.no_grad():
        flat = subject.backbone.encode(subject.images[:1])[0][0].flatten(1)  # (C, h*w)
    flat = flat[flat.amax(1) > flat.amin(1)]
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    return len(torch.unique((flat - low) / (high - low), dim=0))


def best_batch_size(backbone: Backbone, image: Tensor) -> int:
    """The batch size at which a forward pass takes least time an image, best of three."""
    times = {}
    for size in _SIZES:
        batch = image.expand(size, -1, -1, -1).contiguous(memory_format=torch.channels_last)
        calls = [measured(partial(_forward, backbone, batch), backbone.device).wall for _ in range(3)]
        times[size] = min(calls) / size
    return min(times, key=times.__getitem__)


def authors(subject: Subject) -> dict[str, Callable[[Tensor, int], Tensor]]:
    """Both ways of the Recipro-CAM authors, by title, each on a plain network of its own."""
    network = subject.own_plain()
    unfolded = rb.split_backbone(subject.own_plain(), subject.images[:2], subject.backbone.layer, fold=False)
    return {
        "hook": hooked(network, subject.layer_of(network)),
        "two halves": in_two_halves(unfolded.features, unfolded.head),
    }


def torchcam_call(subject: Subject, name: str) -> Callable[[], Tensor]:
    """torch-cam: a forward pass, then the extractor; its activation methods after a pass without a graph."""
    network = subject.own_plain()
    extractor = getattr(torchcam.methods, name)(network, target_layer=subject.backbone.layer)
    wants_graph = not type(extractor).__module__.endswith(".activation")

    def call() -> Tensor:
        with torch.set_grad_enabled(wants_graph):
            scores = network(subject.images)
        return extractor(scores.argmax(1).tolist(), scores)[0]

    return call


def gradcam_call(subject: Subject, name: str) -> Callable[[], Tensor]:
    """pytorch-grad-cam: images and targets in, NumPy maps of image size out; its bar goes nowhere."""
    network = subject.own_plain()
    cam = getattr(pytorch_grad_cam, name)(model=network, target_layers=[subject.layer_of(network)])
    targets = [ClassifierOutputTarget(c) for c in subject.classes.tolist()]

    def call() -> Tensor:
        with contextlib.redirect_stderr(io.StringIO()):
            return torch.from_numpy(np.asarray(cam(input_tensor=subject.images, targets=targets)))

    return call


def captum_call(subject: Subject) -> Callable[[], Tensor]:
    """captum: one attribution of known classes; signed, so its ReLU is taken before maps are compared."""
    network = subject.own_plain()
    method = LayerGradCam(network, subject.layer_of(network))
    return lambda: method.attribute(subject.images, target=subject.classes)[:, 0]


def _one_by_one(explain: Callable[[Tensor, int], Tensor], images: Tensor, classes: Sequence[int]) -> Tensor:
    return torch.stack([explain(image, c) for image, c in zip(images.split(1), classes, strict=True)])


def _forward(network: Any, images: Tensor) -> None:
    with torch.no_grad():
        network(images)


def _forwards(network: Any, images: Tensor) -> None:
    for _ in range(_PASSES):
        _forward(network, images)
