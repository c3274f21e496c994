"""Put a linear head of one's own behind a backbone's feature map."""

import hashlib
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from reciprocam_bench.backbones.backbone import Backbone, LinearHead
from reciprocam_bench.errors import UserError


def with_linear_head(backbone: Backbone, weight: Tensor, bias: Tensor, *, multi_label: bool = True) -> Backbone:
    """The same features under global average pooling and one linear layer, ``weight (K, C)``, ``bias (K,)``."""
    classes, channels = weight.shape
    linear = nn.Linear(channels, classes)
    linear.weight.data, linear.bias.data = weight.float(), bias.float()
    head = _PooledLinear(nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear)
    head = head.eval().requires_grad_(False).to(backbone.device)
    return replace(
        backbone,
        head=head,
        linear=LinearHead(linear.weight, linear.bias),
        num_classes=classes,
        split_error=0.0,  # features and head are all there is
        multi_label=multi_label,
        class_names=None,
        cuts=None,  # elsewhere the network still has its own head
    )


class _PooledLinear(nn.Sequential):
    """Layers for the map alone: a transformer's tokens beside it have no part in the logits."""

    def forward(self, maps: Tensor, context: Tensor | None = None) -> Tensor:
        return super().forward(maps)


def save_linear_head(path: Path, weight: Tensor, bias: Tensor, about: dict[str, str]) -> None:
    """Write a head as safetensors; ``about`` (strings) says what it was fitted on and for which features.

    Raises ``UserError`` where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"weight": weight.contiguous(), "bias": bias.contiguous()}, str(path), metadata=about)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be written ({error}); give --output another file") from None


def load_linear_head(backbone: Backbone, path: Path) -> Backbone:
    """Put a saved head behind the backbone it was fitted on.

    Raises ``UserError`` for a file that is absent or no head, or a head for other features.
    """
    if not path.is_file():
        raise UserError(f"backbone.head: {path} does not exist; make one with rcam-bench fit-head")
    try:
        with safe_open(str(path), framework="pt") as file:
            about = file.metadata() or {}
            weight, bias = file.get_tensor("weight"), file.get_tensor("bias")
    except (SafetensorError, OSError) as error:
        raise UserError(f"backbone.head: {path} is no head of rcam-bench fit-head ({error})") from None
    fitted_on = f"{about.get('model')} split at {about.get('layer')}"
    if weight.ndim != 2 or weight.shape[1] != backbone.feature_shape[0] or bias.shape != weight.shape[:1]:
        raise UserError(
            f"backbone.head: {path} was fitted on {fitted_on}; it has {tuple(weight.shape)} weights, "
            f"{backbone.name} gives {backbone.feature_shape[0]} maps"
        )
    if about.get("model", backbone.name) != backbone.name or about.get("layer", backbone.layer) != backbone.layer:
        raise UserError(f"backbone.head: {path} was fitted on {fitted_on}, not {backbone.name} at {backbone.layer}")
    mine = backbone.weights.get("sha256", backbone.weights.get("source", ""))
    if about.get("weights_sha256", mine) != mine:
        raise UserError(f"backbone.head: {path} was fitted on other weights of {backbone.name}; fit it on these")
    fitted = with_linear_head(backbone, weight, bias)
    names = tuple(filter(None, about.get("categories", "").split(",")))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    fitted = replace(fitted, class_names=names if len(names) == fitted.num_classes else None)
    return replace(fitted, weights=backbone.weights | {"head": path.name, "head_sha256": digest, **_prefixed(about)})


def pooled_features(backbone: Backbone, images: Tensor) -> Tensor:
    """Spatial means of the feature map, ``(N, 3, H, W) -> (N, C)``."""
    with torch.no_grad():
        maps, _ = backbone.encode(backbone.prepare(images))
    return maps.mean((2, 3))


def _prefixed(about: dict[str, str]) -> dict[str, str]:
    return {f"head_{key}": value for key, value in about.items() if key not in ("model", "layer")}
