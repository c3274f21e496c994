"""Split a network that cannot be traced: catch one layer's output, and put maps in its place."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from reciprocam_bench.backbones.layout import Halves, Layout, hint_of, layout_of
from reciprocam_bench.backbones.reach import (
    PASSIVE,
    NotACut,
    check_depth,
    not_a_cut,
    reads_every_position,
    without_zeros,
)
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
    """A full forward pass of a black image in which one layer's output (of its last run) is replaced.

    Nothing of the black image passes a cut, so one does for any number of maps; ``black_each`` takes as many as there
    are maps, for networks that read the batch size in front of the cut.
    """

    def __init__(self, model: nn.Module, layer: nn.Module, runs: int, image_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.model = model
        self.black_each = False
        self._layer = [layer]
        self._runs = runs
        self._image_shape = image_shape

    def forward(self, maps: Tensor) -> Tensor:
        left = self._runs

        def replace(module: nn.Module, inputs: Any, output: Any) -> Tensor | None:
            nonlocal left
            left -= 1
            return None if left else maps

        hook = self._layer[0].register_forward_hook(replace)
        try:
            return self.model(maps.new_zeros(len(maps) if self.black_each else 1, *self._image_shape))
        finally:
            hook.remove()


@dataclass
class _Step:
    """A module that ran, at the place where it finished (last); ``output`` is the first image's, of a map."""

    name: str
    module: nn.Module
    runs: int
    layout: Layout | None
    has_positions: bool
    trained: bool
    output: Tensor | None


class _Network:
    """What a network does with the first example image, seen from its modules."""

    def __init__(self, module: nn.Module, example: Tensor) -> None:
        self.module = module
        self.image = example[:1]
        self.steps = _steps(module, example)
        with torch.no_grad():
            self.logits, self.black = module(self.image), module(torch.zeros_like(self.image))

    def halves(self, step: _Step) -> Halves:
        assert step.layout is not None
        head = _Head(self.module, step.module, step.runs, tuple(self.image.shape[1:]))
        return Halves(_Features(self.module, step.module), head, step.name, step.layout)

    def is_cut(self, step: _Step) -> bool:
        """Whether the logits are those of the image again, and nothing of the black one is left in them."""
        with torch.no_grad():
            try:
                again = self.halves(step).head(step.output)
            except Exception:  # code of all sorts may stand behind a layer that is no cut
                return False
        error, scale = (self.logits - again).abs().max(), (self.logits - self.black).abs().max()
        return bool(error <= 1e-2 * scale + 1e-5 * self.logits.abs().max())

    def is_eligible(self, step: _Step) -> bool:
        """Whether ``auto`` may take the layer: a cut with trained layers behind it, read at every position."""
        if step.layout is None or step.output is None or step.runs > 1 or isinstance(step.module, PASSIVE):
            return False
        behind = self.steps[self.steps.index(step) + 1 :]
        if not any(later.trained for later in behind) or not self.is_cut(step):
            return False
        return reads_every_position(self.halves(step).head, step.output, step.layout)

    def layers_around(self, step: _Step) -> tuple[int, int]:
        """How many trained layers that work on positions come up to the step, and how many behind it."""
        trained = [later.trained and later.has_positions for later in self.steps]
        place = self.steps.index(step) + 1
        return sum(trained[:place]), sum(trained[place:])


def split_by_replacing(module: nn.Module, example: Tensor, layer: str) -> Halves:
    """Split at a named module, or for ``auto`` at the last map, in any layout, that all of the logits come from.

    The head runs on a black image, so a layer that is not a cut shows itself: the logits differ.
    """
    halves = _last(module, example) if layer == "auto" else _named(_Network(module, example), layer)
    _spare_black_images(halves, module, example)
    return halves


def stage_names(module: nn.Module, example: Tensor, last: str, area: int) -> tuple[str, ...]:
    """The last layer of every resolution that ``auto`` could take, from fine to coarse; ``last`` is the end.

    ``area`` is how many positions the map of ``last`` has.
    """
    names = [last]
    with without_zeros(module):
        network = _Network(module, example)
        steps = network.steps
        end = next((i for i, step in enumerate(steps) if step.name == last), len(steps))
        for step in reversed(steps[:end]):
            size = 0 if step.layout is None else math.prod(step.layout.grid)
            if size > area and network.is_eligible(step):
                names.append(step.name)
                area = size
    return tuple(reversed(names))


def _last(module: nn.Module, example: Tensor) -> Halves:
    with without_zeros(module):
        network = _Network(module, example)
        for step in reversed(network.steps):
            if step.layout is not None and not isinstance(step.module, PASSIVE):
                check_depth(step.name, *network.layers_around(step))
                if network.is_eligible(step):
                    return network.halves(step)
    raise NotACut("no layer with a spatial map is a cut")


def _named(network: _Network, layer: str) -> Halves:
    modules = dict(network.module.named_modules())
    if layer not in modules or not layer:
        raise UserError(f"layer '{layer}' is not in the network{did_you_mean(layer, filter(None, modules))}")
    step = next((step for step in network.steps if step.module is modules[layer]), None)
    if step is None or step.layout is None:
        raise NotACut(f"layer '{layer}' gives no spatial map (N, C, h, w); name an earlier layer")
    if not network.is_cut(step):
        raise not_a_cut(layer)
    return network.halves(step)._replace(layer=layer)  # a module can have two names


def _spare_black_images(halves: Halves, module: nn.Module, example: Tensor) -> None:
    assert isinstance(halves.head, _Head)
    two = torch.cat([example[:1], example[:1].flip(3)])
    with torch.no_grad():
        expected, maps = module(two), halves.features(two)
        try:
            again = halves.head(maps)
            same = torch.allclose(again, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
        except Exception:  # shapes that do not fit together
            same = False
    halves.head.black_each = not same


def _copy(output: Any) -> Any:
    return output.clone() if isinstance(output, Tensor) else output


def _steps(module: nn.Module, example: Tensor) -> list[_Step]:
    """The modules that gave a tensor, in the order in which they finished for the last time."""
    names = {m: n for n, m in module.named_modules() if not isinstance(m, torch.jit.ScriptModule)}
    found: dict[nn.Module, _Step] = {}
    hint = hint_of(module)

    def note(layer: nn.Module, inputs: object, output: object) -> None:
        before = found.pop(layer, None)
        shape = tuple(output.shape) if isinstance(output, Tensor) else ()
        layout = layout_of(shape, tuple(example.shape), hint) if layer is not module else None
        positions = len(shape) >= 3 and max(shape[2:]) > 1
        trained = any(True for _ in layer.parameters(recurse=False))
        runs = 1 if before is None else before.runs + 1
        kept = None if layout is None else _copy(output)[:1]
        found[layer] = _Step(names[layer], layer, runs, layout, positions, trained, kept)

    hooks = [m.register_forward_hook(note) for m in names]
    try:
        with torch.no_grad():
            module(example)
    finally:
        for hook in hooks:
            hook.remove()
    return list(found.values())
