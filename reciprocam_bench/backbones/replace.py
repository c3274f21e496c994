"""Split a network that cannot be traced: catch one layer's output, and put maps in its place."""

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
    """A module that ran, at the place where it finished (last)."""

    name: str
    module: nn.Module
    runs: int
    layout: Layout | None
    has_positions: bool
    trained: bool


def split_by_replacing(module: nn.Module, example: Tensor, layer: str) -> Halves:
    """Split at a named module, or for ``auto`` at the last map, in any layout, that all of the logits come from.

    The head runs on a black image, so a layer that is not a cut shows itself: the logits differ.
    """
    steps = _steps(module, example)
    step = _chosen(module, steps, example) if layer == "auto" else _named(module, steps, example, layer)
    halves = _halves(module, step, example)
    _spare_black_images(halves, module, example)
    return halves


def stage_names(module: nn.Module, example: Tensor, last: str, area: int) -> tuple[str, ...]:
    """The last layer of every resolution that ``auto`` could take, from fine to coarse; ``last`` is the end.

    ``area`` is how many positions the map of ``last`` has.
    """
    steps, names = _steps(module, example), [last]
    end = next((i for i, step in enumerate(steps) if step.name == last), len(steps))
    with without_zeros(module):
        for step in reversed(steps[:end]):
            size = 0 if step.layout is None else step.layout.grid[0] * step.layout.grid[1]
            if size > area and _is_eligible(module, steps, step, example):
                names.append(step.name)
                area = size
    return tuple(reversed(names))


def _chosen(module: nn.Module, steps: list[_Step], example: Tensor) -> _Step:
    with without_zeros(module):
        found = next((step for step in reversed(steps) if _is_eligible(module, steps, step, example)), None)
    if found is None:
        raise NotACut("no layer with a spatial map is a cut")
    place = steps.index(found)
    trained = [i for i, step in enumerate(steps) if step.trained and step.has_positions]
    before = sum(i <= place for i in trained)
    check_depth(found.name, before, len(trained) - before)
    return found


def _named(module: nn.Module, steps: list[_Step], example: Tensor, layer: str) -> _Step:
    modules = dict(module.named_modules())
    if layer not in modules or not layer:
        raise UserError(f"layer '{layer}' is not in the network{did_you_mean(layer, filter(None, modules))}")
    step = next((step for step in steps if step.module is modules[layer]), None)
    if step is None or step.layout is None:
        raise NotACut(f"layer '{layer}' gives no spatial map (N, C, h, w); name an earlier layer")
    if not _is_cut(module, step, example):
        raise not_a_cut(layer)
    step.name = layer  # a module that is known by two names
    return step


def _is_eligible(module: nn.Module, steps: list[_Step], step: _Step, example: Tensor) -> bool:
    if step.layout is None or step.runs > 1 or isinstance(step.module, PASSIVE):
        return False
    if not any(later.trained for later in steps[steps.index(step) + 1 :]) or not _is_cut(module, step, example):
        return False
    features, head, _, layout = _halves(module, step, example)
    with torch.no_grad():
        output = features(example[:1])
    return reads_every_position(head, output, layout)


def _is_cut(module: nn.Module, step: _Step, example: Tensor) -> bool:
    """Whether the logits are those of the example again, and nothing of the black image is left in them."""
    features, head, _, _ = _halves(module, step, example)
    one = example[:1]
    with torch.no_grad():
        logits, black = module(one), module(torch.zeros_like(one))
        try:
            again = head(features(one))
        except Exception:  # code of all sorts may stand behind a layer that is no cut
            return False
    error, scale = (logits - again).abs().max(), (logits - black).abs().max()
    return bool(error <= 1e-2 * scale + 1e-5 * logits.abs().max())


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


def _copy(output: Tensor) -> Tensor:
    return output.clone() if isinstance(output, Tensor) else output


def _halves(model: nn.Module, step: _Step, example: Tensor) -> Halves:
    assert step.layout is not None
    head = _Head(model, step.module, step.runs, tuple(example.shape[1:]))
    return Halves(_Features(model, step.module), head, step.name, step.layout)


def _steps(module: nn.Module, example: Tensor) -> list[_Step]:
    """The modules that gave a tensor, in the order in which they finished for the last time."""
    names = {m: n for n, m in module.named_modules()}
    found: dict[nn.Module, _Step] = {}
    hint = hint_of(module)

    def note(layer: nn.Module, inputs: object, output: object) -> None:
        before = found.pop(layer, None)
        shape = tuple(output.shape) if isinstance(output, Tensor) else ()
        layout = layout_of(shape, tuple(example.shape), hint) if layer is not module else None
        positions = len(shape) >= 3 and max(shape[2:]) > 1
        trained = any(True for _ in layer.parameters(recurse=False))
        runs = 1 if before is None else before.runs + 1
        found[layer] = _Step(names[layer], layer, runs, layout, positions, trained)

    hooks = [m.register_forward_hook(note) for m in names]
    try:
        with torch.no_grad():
            module(example)
    finally:
        for hook in hooks:
            hook.remove()
    return list(found.values())
