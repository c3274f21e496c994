"""Whether the logits depend on every position of a map."""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from reciprocam_bench.backbones.layout import Layout

# A strided layer that reads every second position reads a quarter of them; a class token alone, none.
_NEARLY_ALL = 0.75
_PROBES = 8


@torch.inference_mode(False)
def reads_every_position(head: Callable[[Tensor], Tensor], output: Tensor, layout: Layout) -> bool:
    """Whether the logits ``head(output)`` depend on (nearly) all positions of a layer's output.

    A random projection of the logits is differentiated; a position counts as read if any probe gives it a gradient.
    The probes after the first have their positions mixed, because a max-pool reads one of many. A head without any
    gradient says nothing and is believed.
    """
    generator = torch.Generator().manual_seed(0)
    read = torch.zeros(layout.grid, dtype=torch.bool, device=output.device)
    any_gradient = False
    for probe in range(_PROBES):
        mixed = _mixed(output, layout, generator) if probe else output
        gradient = _gradient(head, mixed, generator)
        if gradient is None:
            return True
        any_gradient |= bool((gradient != 0).any())
        read |= (_map_of(gradient, layout) != 0).any(1).any(0)
        if float(read.float().mean()) >= _NEARLY_ALL:
            return True
        if not read.any():  # a class token is read in all probes or none
            break
    return not any_gradient


@contextlib.contextmanager
def without_zeros(module: nn.Module) -> Iterator[None]:
    """Fill all-zero parameters while the block runs: a head that is still to be trained passes no gradient."""
    generator = torch.Generator().manual_seed(0)
    zero = [p for p in module.parameters() if p.is_floating_point() and not p.any()]
    with torch.no_grad():
        for parameter in zero:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(0.02 * noise)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter in zero:
                parameter.zero_()


def _gradient(head: Callable[[Tensor], Tensor], output: Tensor, generator: torch.Generator) -> Tensor | None:
    with torch.enable_grad():
        leaf = output.detach().clone().requires_grad_()
        logits = head(leaf * 1)  # the head's first layer may work in place, which a leaf forbids
        if not logits.requires_grad:
            return None
        projection = torch.randn(logits.shape, generator=generator).to(logits)
        return torch.autograd.grad((logits * projection).sum(), leaf, allow_unused=True)[0]


def _map_of(output: Tensor, layout: Layout) -> Tensor:
    return layout.to_map(output, layout.grid)


def _mixed(output: Tensor, layout: Layout, generator: torch.Generator) -> Tensor:
    maps = _map_of(output, layout)
    order = torch.randperm(layout.grid[0] * layout.grid[1], generator=generator).to(output.device)
    return layout.from_map(maps.flatten(2)[:, :, order].unflatten(2, layout.grid), layout.prefix_of(output))
