"""torch-cam: ``with Class(model, layers) as extractor: extractor(classes, scores)``."""

from inspect import Parameter
from typing import Any

import torch
from torch import Tensor

from reciprocam_bench.peers.libraries import LIBRARIES
from reciprocam_bench.peers.network import WholeNetwork
from reciprocam_bench.peers.options import LAYERS, repeats, settable, split, with_classes

SETS_APART = False
_GIVEN = frozenset(
    {
        "model",
        "target_layer",
        "input_shape",
        "enable_hooks",
        "reshape_transform",
        "fc_layer",
        "class_idx",
        "scores",
        "normalized",
        "targets",
        "target_shape",
    }
)


def options_of(cls: Any) -> dict[str, Parameter]:
    """What a config may set: parameters of the constructor and of the call."""
    return settable([cls.__init__, cls.__call__], _GIVEN) | LAYERS


def make(cls: Any, network: WholeNetwork, options: dict[str, Any]) -> Any:
    """The extractor, its hooks set."""
    return cls(network, network.targets, **with_classes(options, cls.__init__, LIBRARIES["torchcam"].find))


def explain(cls: Any, network: WholeNetwork, images: Tensor, classes: Tensor, options: dict[str, Any]) -> Tensor:
    """Maps ``(N, h, w)``, not normalised: the protocol does that. Those of several layers are fused its way."""
    of_constructor, of_call = split(options, cls.__init__)
    with make(cls, network, of_constructor) as extractor:
        # As its docs do: activation methods read a forward pass that has no graph.
        with torch.set_grad_enabled(not cls.__module__.endswith(".activation")):
            scores = network(images)
        maps = extractor(class_idx=classes.tolist(), scores=scores, normalized=False, **of_call)
        return maps[0] if len(maps) == 1 else extractor.fuse_cams(maps)


def forwards(cls: Any, channels: int, values: dict[str, Any]) -> float:
    """Forwards an image: the Score-CAM family asks once a channel."""
    masked = any(base.__name__ == "ScoreCAM" for base in cls.__mro__)
    return repeats(values) * channels if masked else 1 + repeats(values)
