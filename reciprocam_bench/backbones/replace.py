"""Split a network that cannot be traced: catch one layer's output, and put maps in its place."""

import torch
from torch import Tensor, nn

from reciprocam_bench.backbones.graph import has_shape_of_image
from reciprocam_bench.errors import UserError, did_you_mean


class _Features(nn.Module):
    """The output of one layer during a full forward pass."""

    def __init__(self, model: nn.Module, layer: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._layer = [layer]  # in a list, so that it is not registered a second time

    def forward(self, images: Tensor) -> Tensor:
        caught: list[Tensor] = []
        # A copy: a later layer may work in place.
        hook = self._layer[0].register_forward_hook(lambda module, inputs, output: caught.append(_copy(output)))
        try:
            self.model(images)
        finally:
            hook.remove()
        return caught[-1]


class _Head(nn.Module):
    """A full forward pass of a black image in which one layer's output is replaced."""

    def __init__(self, model: nn.Module, layer: nn.Module, image_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.model = model
        self._layer = [layer]
        self._image_shape = image_shape

    def forward(self, maps: Tensor) -> Tensor:
        hook = self._layer[0].register_forward_hook(lambda module, inputs, output: maps)
        try:
            return self.model(maps.new_zeros(len(maps), *self._image_shape))
        finally:
            hook.remove()


def split_by_replacing(module: nn.Module, example: Tensor, layer: str) -> tuple[nn.Module, nn.Module, str]:
    """Return features, head and the layer's name; ``auto`` takes the last spatial map that is a cut.

    The head runs on a black image, so a layer that is not a cut shows itself: the logits differ.
    """
    modules = dict(module.named_modules())
    if layer != "auto":
        if layer not in modules:
            raise UserError(f"layer '{layer}' is not in the network{did_you_mean(layer, modules)}")
        features, head = _halves(module, modules[layer], example)
        with torch.no_grad():
            found = features(example)
        if not isinstance(found, Tensor) or not _is_map(found, example):
            raise UserError(f"layer '{layer}' gives no spatial map (N, C, h, w)")
        return features, head, layer
    for name in reversed(_spatial_layers(module, example)):
        features, head = _halves(module, modules[name], example)
        with torch.no_grad():
            logits, again = module(example), head(features(example))
        if torch.allclose(logits, again, rtol=1e-3, atol=1e-4 * max(1.0, float(logits.abs().max()))):
            return features, head, name
    raise UserError("no layer with a spatial map is a cut")


def _is_map(output: Tensor, image: Tensor) -> bool:
    shape = tuple(output.shape)
    return len(shape) == 4 and min(shape[2:]) > 1 and has_shape_of_image(shape, *image.shape[2:])


def _copy(output: Tensor) -> Tensor:
    return output.clone() if isinstance(output, Tensor) else output


def _halves(model: nn.Module, layer: nn.Module, example: Tensor) -> tuple[nn.Module, nn.Module]:
    return _Features(model, layer), _Head(model, layer, tuple(example.shape[1:]))


def _spatial_layers(module: nn.Module, example: Tensor) -> list[str]:
    """Names of the layers that give a spatial map and are run once, in the order they finish."""
    finished: list[str] = []
    names = {m: n for n, m in module.named_modules() if n}

    def note(layer: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and _is_map(output, example):
            finished.append(names[layer])

    hooks = [m.register_forward_hook(note) for m in names]
    try:
        with torch.no_grad():
            module(example)
    finally:
        for hook in hooks:
            hook.remove()
    return [name for name in dict.fromkeys(finished) if finished.count(name) == 1]
