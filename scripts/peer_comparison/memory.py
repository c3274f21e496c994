"""C's allocator as a `rcam-bench run` sets it, and as a user of another library has it, in one process."""

import ctypes
import sys

from reciprocam_bench.engine.allocator import keep_freed_memory

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def as_we_have_it() -> None:
    """Freed memory is kept."""
    keep_freed_memory()


def as_users_have_it() -> None:
    """What glibc's own rule comes to once large tensors were freed: the largest thresholds it may set by itself.

    A program that never called ``mallopt`` ends there; forward passes take as long as in such a process, or a little
    less.
    """
    if sys.platform.startswith("linux"):
        mallopt = getattr(ctypes.CDLL(None), "mallopt", lambda *values: 0)
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        mallopt(_M_TRIM_THRESHOLD, 64 << 20)
