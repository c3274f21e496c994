"""DeepLIFT's rescale rule on calls of PyTorch's elementwise activations, whatever module makes them: no hooks."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

# Elementwise functions of one tensor, and how many of their positional arguments say what they compute (not whether
# in place). A linear layer, pooling by mean and a sum need no rule.
_ACTIVATIONS: dict[Any, tuple[Callable[..., Tensor], int]] = {
    **dict.fromkeys((F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_), (torch.relu, 1)),
    **dict.fromkeys((F.sigmoid, torch.sigmoid, Tensor.sigmoid, Tensor.sigmoid_), (torch.sigmoid, 1)),
    **dict.fromkeys((F.tanh, torch.tanh, Tensor.tanh, Tensor.tanh_), (torch.tanh, 1)),
    **dict.fromkeys((torch.clamp, torch.clamp_, Tensor.clamp, Tensor.clamp_), (torch.clamp, 3)),
    F.relu6: (F.relu6, 1),
    F.hardtanh: (F.hardtanh, 3),
    F.leaky_relu: (F.leaky_relu, 2),
    F.elu: (F.elu, 2),
    F.celu: (F.celu, 2),
    F.selu: (F.selu, 1),
    F.prelu: (F.prelu, 2),
    F.softsign: (F.softsign, 1),
    F.logsigmoid: (F.logsigmoid, 1),
    F.gelu: (F.gelu, 1),
    F.silu: (F.silu, 1),
    F.mish: (F.mish, 1),
    F.softplus: (F.softplus, 3),
    F.hardswish: (F.hardswish, 1),
    F.hardsigmoid: (F.hardsigmoid, 1),
}
# Nearer than this to its baseline, an input's own gradient is the better quotient.
_NEAR = 1e-6


class RescaleRule(TorchFunctionMode):
    """Inside this scope a batch is ``[inputs; baselines]``, and activations pass differences on, not gradients.

    ``count`` is the number of inputs; tensors whose first axis is no multiple of both halves are no such batch. What
    is none of the activations above (softmax, products, maxima) passes on gradients.

    ``dy/dx`` of an activation becomes ``(y - y') / (x - x')`` against the baseline's values (Shrikumar et al. 2017,
    arXiv 1704.02685, equation 10). So ``sum m (x - x') = y - y'`` for a network of linear layers and such activations.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self._batch = 2 * count

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call ``func``; the slope of an activation is replaced."""
        kwargs = dict(kwargs or {})
        activation, counted = _ACTIVATIONS.get(func, (None, 0))
        if activation is None or not args or not args[0].ndim or len(args[0]) % self._batch:
            return func(*args, **kwargs)
        kwargs.pop("inplace", None)  # the value in front is needed
        x, y = args[0], activation(*args[:counted], **kwargs)
        half = len(x) // 2
        step, rise = x[:half] - x[half:], y[:half] - y[half:]
        near = step.abs() < _NEAR
        slope = (rise / torch.where(near, 1.0, step)).detach()
        straight = y[:half].detach() + slope * (x[:half] - x[:half].detach())
        return torch.cat([torch.where(near, y[:half], straight), y[half:].detach()])
