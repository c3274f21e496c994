"""Look at a network that cannot be traced by its modules: catch one layer's output, and put maps in its place."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from reciprocam_bench.backbones.hooks import own_forward_hook
from reciprocam_bench.backbones.layout import Halves, Layout, hint_of, is_flat_map, layout_of
from reciprocam_bench.backbones.policy import PASSIVE
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
        hook = own_forward_hook(self._layer[0], lambda module, inputs, output: caught.append(_clone(output)))
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

        def put(module: nn.Module, inputs: Any, output: Any) -> Tensor | None:
            nonlocal left
            left -= 1
            return None if left else maps

        hook = own_forward_hook(self._layer[0], put)
        try:
            return self.model(maps.new_zeros(len(maps) if self.black_each else 1, *self._image_shape))
        finally:
            hook.remove()


@dataclass(eq=False)  # steps are told apart, not compared
class HookedStep:
    """A module that ran, at the place where it finished (last); ``output`` is the first image's, of a map."""

    name: str
    module: nn.Module
    runs: int
    layout: Layout | None
    has_positions: bool
    trained: bool
    output: Tensor | None


class HookedNetwork:
    """A network whose steps are the modules that ran (a `policy.Network`), seen on the first example image.

    The head runs on a black image, so a layer that is not a cut shows itself: the logits differ.
    """

    shows_most = False  # functions between the modules stay hidden

    def __init__(self, module: nn.Module, example: Tensor) -> None:
        self.module = module
        self.example = example
        self.steps = _steps(module, example)
        image = example[:1]
        with torch.no_grad():
            self.logits, self.black = module(image), module(torch.zeros_like(image))

    def find(self, layer: str) -> HookedStep | None:
        """The step of a module; None for one that did not run, or gave no map."""
        modules = dict(self.module.named_modules())
        if layer not in modules or not layer:
            raise UserError(f"layer '{layer}' is not in the network{did_you_mean(layer, filter(None, modules))}")
        return next((s for s in self.steps if s.module is modules[layer] and s.layout is not None), None)

    def name(self, step: HookedStep) -> str:
        """The module's path."""
        return step.name

    def layout(self, step: HookedStep) -> Layout:
        """How the module's map is laid out."""
        assert step.layout is not None, f"{step.name} gives no map"
        return step.layout

    def may_be_cut(self, step: HookedStep) -> bool:
        """Whether the module gives a new map, and ran once."""
        return step.layout is not None and step.runs == 1 and not isinstance(step.module, PASSIVE)

    def is_cut(self, step: HookedStep) -> bool:
        """Whether the logits are those of the image again, and nothing of the black one is left in them."""
        with torch.no_grad():
            try:
                again = self.head(step)(self.output(step))
            except Exception:  # code of all sorts may stand behind a layer that is no cut
                return False
        error, scale = (self.logits - again).abs().max(), (self.logits - self.black).abs().max()
        return bool(error <= 1e-2 * scale + 1e-5 * self.logits.abs().max())

    def has_trained_behind(self, step: HookedStep) -> bool:
        """Whether a module that finishes later has parameters of its own."""
        return any(later.trained for later in self.steps[self.steps.index(step) + 1 :])

    def layers_around(self, step: HookedStep) -> tuple[int, int]:
        """How many trained modules that work on positions finish up to the step, and how many behind it."""
        trained = [later.trained and later.has_positions for later in self.steps]
        place = self.steps.index(step) + 1
        return sum(trained[:place]), sum(trained[place:])

    def output(self, step: HookedStep) -> Tensor:
        """The module's output for the first example image."""
        assert step.output is not None, f"{step.name} gives no map"
        return step.output

    def head(self, step: HookedStep) -> _Head:
        """A forward of one black image with the module's output replaced."""
        return _Head(self.module, step.module, step.runs, tuple(self.example.shape[1:]))

    def halves(self, step: HookedStep) -> Halves:
        """Both halves; the head runs a black image for each map where one does not do for all."""
        features, head = _Features(self.module, step.module), self.head(step)
        head.black_each = not _takes_many(features, head, self.example)
        return Halves(features, head, step.name, self.layout(step))


def _takes_many(features: _Features, head: _Head, example: Tensor) -> bool:
    two = torch.cat([example[:1], example[:1].flip(3)])
    with torch.no_grad():
        expected, maps = head.model(two), features(two)
        try:
            return torch.allclose(head(maps), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
        except Exception:  # shapes that do not fit together
            return False


def _clone(output: Any) -> Any:
    return output.clone() if isinstance(output, Tensor) else output


def _steps(module: nn.Module, example: Tensor) -> list[HookedStep]:
    """The modules that gave a tensor, in the order in which they finished for the last time."""
    names = {m: n for n, m in module.named_modules() if not isinstance(m, torch.jit.ScriptModule)}
    found: dict[nn.Module, HookedStep] = {}
    hint = hint_of(module)

    def note(layer: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        before = found.pop(layer, None)
        shape = tuple(output.shape) if isinstance(output, Tensor) else ()
        given = [tuple(one.shape) for one in inputs if isinstance(one, Tensor) and one.ndim == 4]
        flat = any(is_flat_map(shape, one) and layout_of(one, tuple(example.shape)) is not None for one in given)
        layout = layout_of(shape, tuple(example.shape), hint) if layer is not module and not flat else None
        positions = len(shape) >= 3 and max(shape[2:]) > 1
        trained = any(True for _ in layer.parameters(recurse=False))
        runs = 1 if before is None else before.runs + 1
        kept = None if layout is None else _clone(output)[:1]
        found[layer] = HookedStep(names[layer], layer, runs, layout, positions, trained, kept)

    hooks = [m.register_forward_hook(note) for m in names]
    try:
        with torch.no_grad():
            module(example)
    finally:
        for hook in hooks:
            hook.remove()
    return list(found.values())
