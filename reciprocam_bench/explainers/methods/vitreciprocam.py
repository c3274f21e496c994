"""ViT-ReciproCAM: what a transformer's last block says when its attention sees one patch alone."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.chunks import in_chunks
from reciprocam_bench.explainers.forward_pass import ForwardPass, forward_pass, of_class
from reciprocam_bench.explainers.masks import Mask, Score, spatial_masks
from reciprocam_bench.explainers.registry import explainer

_NORMS = (F.layer_norm, F.rms_norm)


def number_of_norm(backbone: Backbone) -> int:
    """Which of the norms behind the cut, counted from 0, the masks are laid behind: tried on one image.

    A transformer's block looks like any other layer from outside. ``UserError`` where none is.
    """
    if backbone.split == "call" or backbone.cuts is None:
        raise UserError(f"it cannot look behind layer '{backbone.layer}' of {backbone.name}; take blackboxreciprocam")
    fp = forward_pass(backbone.uncompiled, backbone.cuts.example[:1])
    tokens = _tokens(fp)
    with torch.no_grad(), BehindNorm(torch.ones_like(tokens[:, :, 0]), _reads(tokens)) as norm:
        fp.head(fp.features)
    if norm.found is None:
        raise _no_block(backbone)
    return norm.found


def _check(backbone: Backbone, options: dict[str, Any]) -> None:
    number_of_norm(backbone)


def _no_block(backbone: Backbone) -> UserError:
    return UserError(
        f"what lies behind layer '{backbone.layer}' of {backbone.name} does not begin with a LayerNorm of its "
        "tokens; name the output of the block before the one to be masked (such as blocks.10 of a ViT-B, "
        "layers.3.blocks.0 of a Swin), or take reciprocam"
    )


def _tokens(fp: ForwardPass) -> Tensor:
    """The features as tokens, ``(N, h*w, C)``."""
    return fp.features.flatten(2).transpose(1, 2)


def _reads(tokens: Tensor) -> "Chosen":
    """Whether a norm's input are the tokens of the cut, ``(M, h*w, C)``, themselves.

    That is the first step of the block behind it, whether it is a module, a node of a graph or a function.
    """
    m, positions, channels = tokens.shape

    def reads(number: int, given: Tensor) -> bool:
        if given.shape[0] != m or given.shape[-1] != channels or given.numel() < tokens.numel():
            return False
        return torch.equal(given.reshape(m, -1, channels)[:, -positions:], tokens)

    return reads


# Of a norm's number among those that run, and its input.
Chosen = Callable[[int, Tensor], bool]


class BehindNorm(TorchFunctionMode):
    """Inside this scope the patch tokens are multiplied by ``masks (M, h*w)`` behind the first norm that is chosen.

    ``found`` is its number among the norms that have run, None if none was chosen.
    """

    def __init__(self, masks: Tensor, chosen: Chosen) -> None:
        super().__init__()
        self.masks, self.chosen = masks, chosen
        self.found: int | None = None
        self._seen = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call ``func``; the output of the norm is masked."""
        output = func(*args, **(kwargs or {}))
        if func not in _NORMS or self.found is not None:
            return output
        number, self._seen = self._seen, self._seen + 1
        if not self.chosen(number, args[0]):
            return output
        self.found = number
        tokens = output.flatten(1, -2)  # (M, P + h*w, C), the patches last
        kept = tokens.new_ones(tokens.shape[0], tokens.shape[1] - self.masks.shape[1])
        return (tokens * torch.cat([kept, self.masks], 1)[:, :, None]).reshape(output.shape)


@explainer(
    "vitreciprocam",
    aliases=("vit-reciprocam",),
    forwards=lambda backbone, options: 0.15 * backbone.feature_shape[1] * backbone.feature_shape[2],
    check=_check,
)
def vitreciprocam(fp: ForwardPass, *, mask: Mask = "gaussian", score: Score = "softmax") -> Tensor:
    """``M_c(i, j) = score_c`` with the block's normalised patch tokens times ``m_ij`` (Byun & Lee 2023, 2310.02588).

    The masks are laid on the output of the first LayerNorm of the block behind the cut: attention sees the tokens they
    leave, and the class token whole; the skip connection around it is not masked. With ``layer: auto`` that is the
    last block, as in the paper's figure; the authors' code takes the one before it (for ViT-B ``layer: blocks.9``).

    Cost: the shared forward and one pass of the blocks behind the cut for each patch. No gradients.

    Args:
        fp: the forward pass, of a transformer.
        mask: ``gaussian`` (the authors' default: a token and its eight neighbours, each its own, weighted
            ``[1 2 1; 2 4 2; 1 2 1] / 16``) or ``one-hot`` (one token).
        score: ``softmax`` probability or ``logit`` (OpenVINO XAI).
    """
    n, c, h, w = fp.features.shape
    tokens = _tokens(fp)
    # A block holds about a dozen tensors of the size of its tokens at once.
    each = 12 * c * h * w * fp.features.element_size()

    def seen(rows: Tensor) -> Tensor:
        images = rows // (h * w)
        masks = spatial_masks(mask, h, w, rows % (h * w)).flatten(1).to(tokens)  # (rows, h*w)
        with BehindNorm(masks, _reads(tokens[images])) as norm:
            logits = fp.uncompiled.head(fp.features[images], images)
        if norm.found is None:
            raise _no_block(fp.backbone)
        scores = fp.backbone.probabilities(logits) if score == "softmax" else logits
        return of_class(scores, fp.classes[images])

    with torch.no_grad():
        values = in_chunks(fp.backbone, n * h * w, seen, bytes_each=each, progress=fp.progress, pad=False)
        return torch.cat(list(values)).view(n, h, w)
