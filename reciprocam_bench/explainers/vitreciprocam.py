"""ViT-ReciproCAM: what a transformer's last block says when its attention sees one patch alone."""

from typing import Any

import torch
from torch import Tensor, nn

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import ForwardPass, of_class
from reciprocam_bench.explainers.reciprocam import Mask, Score, spatial_masks
from reciprocam_bench.explainers.registry import explainer


def _check(backbone: Backbone, options: dict[str, Any]) -> None:
    if not any(isinstance(module, nn.LayerNorm) for module in backbone.head.modules()):
        raise UserError(
            f"vitreciprocam: no LayerNorm behind layer '{backbone.layer}' of {backbone.name}; it is made for "
            "transformers: take reciprocam"
        )


def first_norm(fp: ForwardPass) -> nn.LayerNorm:
    """The LayerNorm that is given the tokens of the cut themselves: the first step of the block behind it."""
    tokens = fp.features[:1].flatten(2).transpose(1, 2)  # (1, h*w, C)
    found: list[nn.LayerNorm] = []

    def compare(module: nn.LayerNorm, inputs: tuple[Tensor, ...]) -> None:
        given = inputs[0]
        if given.shape[-1] == tokens.shape[-1] and given.numel() >= tokens.numel():
            last = given.reshape(len(given), -1, given.shape[-1])[-1:, -tokens.shape[1] :]
            if torch.equal(last, tokens):
                found.append(module)

    norms = [m for m in fp.backbone.head.modules() if isinstance(m, nn.LayerNorm)]
    hooks = [m.register_forward_pre_hook(compare) for m in norms]
    try:
        with torch.no_grad():
            fp.head(fp.features[:1], torch.zeros(1, dtype=torch.int64, device=tokens.device))
    finally:
        for hook in hooks:
            hook.remove()
    if not found:
        raise UserError(
            f"vitreciprocam: the block behind layer '{fp.backbone.layer}' of {fp.backbone.name} does not begin with a "
            "LayerNorm of its tokens; name the output of a transformer block"
        )
    return found[0]


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
    norm = first_norm(fp)
    masks = spatial_masks(mask, h, w).flatten(1).to(fp.features)  # (h*w, h*w)
    # A block holds about a dozen tensors of the size of its tokens at once.
    size = fp.backbone.chunk_size(12 * c * h * w * fp.features.element_size())
    values = []
    with torch.no_grad():
        for rows in torch.arange(n * h * w, device=masks.device).split(size):
            images, positions = rows // (h * w), rows % (h * w)
            logits = _masked_head(fp, norm, masks[positions], images)
            scores = fp.backbone.probabilities(logits) if score == "softmax" else logits
            values.append(of_class(scores, fp.classes[images]))
            fp.progress((int(rows[-1]) + 1) / (n * h * w))
    return torch.cat(values).view(n, h, w)


def _masked_head(fp: ForwardPass, norm: nn.LayerNorm, masks: Tensor, images: Tensor) -> Tensor:
    """Logits ``(M, K)`` with the patch tokens behind ``norm`` multiplied by ``masks (M, h*w)``."""

    def lay_on(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        tokens = output.reshape(len(output), -1, output.shape[-1])  # (M, P + h*w, C), the patches last
        kept = tokens.new_ones(len(tokens), tokens.shape[1] - masks.shape[1])
        return (tokens * torch.cat([kept, masks], 1)[:, :, None]).reshape(output.shape)

    hook = norm.register_forward_hook(lay_on)
    try:
        return fp.head(fp.features[images], images)
    finally:
        hook.remove()
