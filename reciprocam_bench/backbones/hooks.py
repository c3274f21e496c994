"""Forward hooks that only the thread that set them feels: two may use one network at a time."""

from collections.abc import Callable
from threading import get_ident
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle


def own_forward_hook(module: nn.Module, hook: Callable[[nn.Module, Any, Any], Any]) -> RemovableHandle:
    """`nn.Module.register_forward_hook`, for the calls of this thread alone."""
    mine = get_ident()

    def of_mine(called: nn.Module, inputs: Any, output: Any) -> Any:
        return hook(called, inputs, output) if get_ident() == mine else None

    return module.register_forward_hook(of_mine)
