"""captum: ``Class(model, layer).attribute(images, target=classes)``, a signed value for each channel or pixel."""

import inspect
from inspect import Parameter
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from reciprocam_bench.errors import UserError
from reciprocam_bench.peers.libraries import LIBRARIES
from reciprocam_bench.peers.network import WholeNetwork
from reciprocam_bench.peers.options import repeats, settable, split

SETS_APART = True
_GIVEN = frozenset(
    {
        "forward_func",
        "model",
        "layer",
        "device_ids",
        "inputs",
        "target",
        "additional_forward_args",
        "return_convergence_delta",
        "return_input_shape",
        "show_progress",
        "verbose",
        "custom_attribution_func",
        "grad_kwargs",
        "attribute_to_layer_input",
        "attr_dim_summation",
        "interpretable_model",
        "similarity_func",
        "perturb_func",
    }
)
_MASKS = ("feature_mask", "layer_mask")
# Without a mask each value is a feature of its own, 150,528 of an image: such a run would not end.
_NEED_A_MASK = {
    "FeatureAblation",
    "KernelShap",
    "LayerFeatureAblation",
    "Lime",
    "ShapleyValueSampling",
    "ShapleyValues",
}
# Their samples switch off many squares at once.
_SQUARES_AT_ONCE = {"KernelShap", "Lime"}
_Squares = Annotated[int, Field(ge=1)]


def options_of(cls: Any) -> dict[str, Parameter]:
    """What a config may set; a mask is the number of squares a side, a baseline is one number for all values."""
    options = settable([cls.__init__, cls.attribute], _GIVEN)
    for name in set(_MASKS) & set(options):
        default = Parameter.empty if cls.__name__ in _NEED_A_MASK else None
        options[name] = options[name].replace(annotation=_Squares | None, default=default)
    for name in {"baselines", "layer_baselines"} & set(options):
        options[name] = options[name].replace(annotation=float | None)
    if "attribution_method" in options:
        options["attribution_method"] = options["attribution_method"].replace(annotation=str)
    return options


def make(cls: Any, network: WholeNetwork, options: dict[str, Any]) -> Any:
    """The object; the one NoiseTunnel is wrapped around is made with it."""
    named = inspect.signature(cls.__init__).parameters
    if "attribution_method" in named:
        return cls(make(_inner(cls, options["attribution_method"]), network, {}))
    return cls(network, **({"layer": network.features} if "layer" in named else {}), **options)


def explain(cls: Any, network: WholeNetwork, images: Tensor, classes: Tensor, options: dict[str, Any]) -> Tensor:
    """Maps ``(N, h, w)`` of a layer or ``(N, H, W)`` of an image: summed over channels, with their sign."""
    of_constructor, of_call = split(options, cls.__init__)
    method = make(cls, network, of_constructor)
    named = inspect.signature(method.attribute).parameters
    values = {n: _value(n, v, named[n], network, images) for n, v in of_call.items()}
    target = {"target": classes} if {"target", "kwargs"} & set(named) else {}
    found = method.attribute(images, **target, **values)
    found = found[0] if isinstance(found, tuple) else found
    return found.sum(1) if found.ndim == 4 else found


def forwards(cls: Any, channels: int, values: dict[str, Any]) -> float:
    """Forwards an image: one a sample, and one a square of the mask where squares are switched off one by one."""
    squares = [values[name] ** 2 for name in _MASKS if isinstance(values.get(name), int)]
    one_by_one = squares and cls.__name__ not in _SQUARES_AT_ONCE
    return 1 + repeats(values) * (squares[0] if one_by_one else 1)


def _inner(cls: Any, name: str) -> type:
    inner = LIBRARIES["captum"].find(name)
    needed = [n for n, p in options_of(inner).items() if p.default is p.empty]
    if needed:
        raise UserError(f"captum:{cls.__name__}: attribution_method '{name}' needs '{needed[0]}', which it cannot give")
    return inner


def _value(name: str, value: Any, parameter: Parameter, network: WholeNetwork, images: Tensor) -> Any:
    """What captum wants, of what a config can say."""
    if isinstance(value, list):
        return tuple(tuple(v) if isinstance(v, list) else v for v in value)
    if name in _MASKS and value is not None:
        with torch.no_grad():
            size = images.shape[2:] if name == "feature_mask" else network.features(images[:1]).shape[2:]
        squares = torch.arange(value * value, device=images.device).view(1, 1, value, value)
        return F.interpolate(squares.float(), size=size).long()
    if name == "baselines" and parameter.default is parameter.empty:
        # These draw from a set of baselines, and want at least two.
        return torch.full_like(images[:1].detach(), value).expand(2, -1, -1, -1)
    return value
