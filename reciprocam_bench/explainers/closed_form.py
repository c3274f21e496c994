"""Where the closed forms of a pooled linear head hold: checks and choices of the methods that have one."""

from typing import Any

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.errors import UserError


def closed_form_or_head(backbone: Backbone, options: dict[str, Any]) -> str:
    """Which path of a method with the option ``path`` will run: the closed form where it holds, or the batched head."""
    path = options.get("path", "auto")
    if path == "auto":
        return "closed-form" if backbone.linear is not None and backbone.linear.holds else "batched-head"
    return path


def closed_form_must_hold(backbone: Backbone, options: dict[str, Any]) -> None:
    """The check of methods with an option ``path``: the closed form is only there on a pooled linear head."""
    linear = backbone.linear
    if closed_form_or_head(backbone, options) != "closed-form" or (linear is not None and linear.holds):
        return
    if linear is None:
        raise UserError(
            f"{backbone.name} split at '{backbone.layer}' has no pooled linear head, so there is no closed form; "
            "set path to auto or batched-head"
        )
    raise UserError(
        f"{backbone.name} pools maps of {linear.size} as a whole and no others, so there is no closed form for these "
        "images; set path to auto or batched-head"
    )


def needs_linear_head(backbone: Backbone, options: dict[str, Any]) -> None:
    """The check of methods that are defined only behind global average pooling and one linear layer."""
    if backbone.linear is None:
        raise UserError(
            f"this method needs a head of global average pooling and one linear layer; {backbone.name} split at "
            f"'{backbone.layer}' has another; leave the method out or choose another layer"
        )
