"""pytorch-grad-cam: ``with Class(model, layers) as cam: cam(images, targets)``, NumPy maps of image size in [0, 1]."""

import inspect
from contextlib import nullcontext
from inspect import Parameter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reciprocam_bench.peers.libraries import LIBRARIES
from reciprocam_bench.peers.network import WholeNetwork
from reciprocam_bench.peers.options import LAYERS, settable, split, with_classes

SETS_APART = False
_GIVEN = frozenset(
    {
        "model",
        "target_layers",
        "reshape_transform",
        "tta_transforms",
        "ablation_layer",
        "input_tensor",
        "targets",
        "target_idx",
    }
)


def options_of(cls: Any) -> dict[str, Parameter]:
    """What a config may set: parameters of the constructor and of the call."""
    return settable([cls.__init__, _call(cls)], _GIVEN) | LAYERS


def make(cls: Any, network: WholeNetwork, options: dict[str, Any]) -> Any:
    """The object, its hooks set."""
    layers = [network.get_submodule(name) for name in network.targets]
    return cls(network, layers, **with_classes(options, cls.__init__, LIBRARIES["gradcam"].find))


def explain(cls: Any, network: WholeNetwork, images: Tensor, classes: Tensor, options: dict[str, Any]) -> Tensor:
    """Maps ``(N, H, W)``."""
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    of_constructor, of_call = split(options, cls.__init__)
    if cls.__name__ == "ShapleyCAM":
        # It differentiates the gradient, which behind a linear head depends on nothing but the weights.
        network.head.requires_grad_(True)
    cam = make(cls, network, of_constructor)
    with cam if hasattr(cam, "__exit__") else nullcontext():
        if "target_idx" in inspect.signature(_call(cls)).parameters:
            # FinerCAM compares with nothing when told targets, and takes one class for all images when told a class.
            each = zip(images.detach().split(1), classes.tolist(), strict=True)
            maps = np.concatenate([cam(image.requires_grad_(), target_idx=c, **of_call) for image, c in each])
        else:
            maps = cam(images, [ClassifierOutputTarget(c) for c in classes.tolist()], **of_call)
    return torch.from_numpy(np.float32(maps))


def forwards(cls: Any, channels: int, values: dict[str, Any]) -> float:
    """Forwards an image; a pass of the head alone counts as a tenth."""
    return {"ScoreCAM": float(channels), "AblationCAM": 1 + 0.1 * channels}.get(cls.__name__, 2.0)


def _call(cls: Any) -> Any:
    return cls.__call__ if "input_tensor" in inspect.signature(cls.__call__).parameters else cls.forward
