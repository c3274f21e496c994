"""How a network's halves are computed: in which precision, and compiled or as they are."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from reciprocam_bench.shared_scope import SharedScope

_HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, eq=False)
class Arithmetic:
    """Calls a network's halves. What comes out is as precise in type as what went in: maps and metrics stay float32.

    Attributes:
        precision: ``float32``, ``tf32`` (a setting of the process: `allow_tf32`), ``bfloat16`` or ``float16``.
        compiled: what to call instead of a module. By the module itself, so that one put in its place, or cut
            elsewhere, is never taken for the compiled one.
        fixed_shapes: whether a new number of inputs costs a compilation, so that chunks are padded to one size.
    """

    precision: str = "float32"
    compiled: Mapping[nn.Module, Callable[..., Any]] = field(default_factory=dict)
    fixed_shapes: bool = False

    def __call__(self, module: nn.Module, *inputs: Tensor) -> Any:
        """The module's output, a tensor or a tuple of such."""
        call = self.compiled.get(module, module)
        half = _HALF.get(self.precision)
        if half is None:
            return call(*inputs)
        with torch.autocast(inputs[0].device.type, half):
            output = call(*inputs)
        wide = inputs[0].dtype
        return tuple(t.to(wide) for t in output) if isinstance(output, tuple) else output.to(wide)

    @property
    def is_plain(self) -> bool:
        """Whether the modules are only called, as anyone would; TF32 is the process's matter."""
        return self.precision not in _HALF and not self.compiled

    @property
    def uncompiled(self) -> "Arithmetic":
        """The same precision, all modules as they are."""
        return replace(self, compiled={}, fixed_shapes=False)


def allow_tf32(allowed: bool) -> None:
    """Let CUDA round the factors of products to TF32, 10 bits of mantissa, or not; for the whole process."""
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def _switches() -> list[tuple[Any, str, object]]:
    """Where torch keeps what matrix products and convolutions are rounded to, and the value for float32.

    Since torch 2.9 in words. The flag of cuDNN, for convolutions and recurrent layers, cannot be read where someone has
    set words, and must stay in step with them where it can.
    """
    products: Any = torch.backends.cuda.matmul
    convolutions: Any = torch.backends.cudnn
    if not hasattr(products, "fp32_precision"):
        return [(products, "allow_tf32", False), (convolutions, "allow_tf32", False)]
    found: list[tuple[Any, str, object]] = [(products, "fp32_precision", "ieee")]
    try:
        convolutions.allow_tf32  # noqa: B018 - whether it can be read
    except RuntimeError:
        return [*found, (convolutions.conv, "fp32_precision", "ieee")]
    return [*found, (convolutions, "allow_tf32", False)]


@contextmanager
def _without_tf32() -> Iterator[None]:
    switches = _switches()
    before = [getattr(owner, name) for owner, name, _ in switches]
    for owner, name, off in switches:
        setattr(owner, name, off)
    try:
        yield
    finally:
        for (owner, name, _), value in zip(switches, before, strict=True):
            setattr(owner, name, value)


# A scope in which products are float32 throughout.
without_tf32 = SharedScope(_without_tf32)
