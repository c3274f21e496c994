"""ViT-ReciproCAM: what a transformer's last block says when its attention sees one patch alone."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.overrides import TorchFunctionMode

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import ForwardPass, of_class
from reciprocam_bench.explainers.reciprocam import Mask, Score, spatial_masks
from reciprocam_bench.explainers.registry import explainer

_NORMS = (F.layer_norm, F.rms_norm)


def _check(backbone: Backbone, options: dict[str, Any]) -> None:
    modules = list(backbone.head.modules())
    traced = {node.target for m in modules if isinstance(m, GraphModule) for node in m.graph.nodes}
    if not traced.intersection(_NORMS) and not any(isinstance(m, nn.LayerNorm) for m in modules):
        raise UserError(
            f"no LayerNorm behind layer '{backbone.layer}' of {backbone.name}; it is made for "
            "transformers: take reciprocam"
        )


class BehindFirstNorm(TorchFunctionMode):
    """Inside this scope the patch tokens are multiplied by ``masks (M, h*w)`` where the block has normalised them.

    That is the output of the norm whose input are the tokens of the cut, ``tokens (M, h*w, C)``, themselves: the first
    step of the block behind it, whether it is a module, a node of a graph or a function.
    """

    def __init__(self, tokens: Tensor, masks: Tensor) -> None:
        super().__init__()
        self.tokens, self.masks = tokens, masks
        self.found = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call ``func``; the output of the first norm is masked."""
        output = func(*args, **(kwargs or {}))
        if func not in _NORMS or self.found or not self._is_given(args[0]):
            return output
        self.found = True
        tokens = output.reshape(len(output), -1, output.shape[-1])  # (M, P + h*w, C), the patches last
        kept = tokens.new_ones(len(tokens), tokens.shape[1] - self.masks.shape[1])
        return (tokens * torch.cat([kept, self.masks], 1)[:, :, None]).reshape(output.shape)

    def _is_given(self, tokens: Tensor) -> bool:
        m, positions, channels = self.tokens.shape
        if tokens.shape[0] != m or tokens.shape[-1] != channels or tokens.numel() < self.tokens.numel():
            return False
        return torch.equal(tokens.reshape(m, -1, channels)[:, -positions:], self.tokens)


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
    _check(fp.backbone, {})
    n, c, h, w = fp.features.shape
    tokens = fp.features.flatten(2).transpose(1, 2)  # (N, h*w, C)
    masks = spatial_masks(mask, h, w).flatten(1).to(fp.features)  # (h*w, h*w)
    # A block holds about a dozen tensors of the size of its tokens at once.
    size = fp.backbone.chunk_size(12 * c * h * w * fp.features.element_size())
    values = []
    with torch.no_grad():
        for rows in torch.arange(n * h * w, device=masks.device).split(size):
            images = rows // (h * w)
            with BehindFirstNorm(tokens[images], masks[rows % (h * w)]) as norm:
                logits = fp.head(fp.features[images], images)
            if not norm.found:
                raise UserError(
                    f"vitreciprocam: the block behind layer '{fp.backbone.layer}' of {fp.backbone.name} does not begin "
                    "with a LayerNorm of its tokens; name the output of a transformer block"
                )
            scores = fp.backbone.probabilities(logits) if score == "softmax" else logits
            values.append(of_class(scores, fp.classes[images]))
            fp.progress((int(rows[-1]) + 1) / (n * h * w))
    return torch.cat(values).view(n, h, w)
