"""Keep the C allocator from handing large blocks back to the kernel after every layer."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory; True if it did, False where the C library is another.

    With glibc's defaults every large activation is mapped and page-faulted anew: a forward pass of EfficientNet-Lite0
    at batch 64 took 33 ms an image without this call and 11 ms with it (two cores).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, 1 << 30)) and bool(mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1))
