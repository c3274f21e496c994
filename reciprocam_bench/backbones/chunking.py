"""What running out of memory taught this process: how small chunks must be."""

import sys
from typing import Any

import torch
from tqdm import tqdm


class Chunking:
    """By what the chunks of a network are divided; one for all copies and cuts of it, for as long as it lives."""

    def __init__(self) -> None:
        self.divisor = 1

    def halve(self, failed: int) -> None:
        """Make all further chunks half as large, after one of ``failed`` inputs did not fit; and say so."""
        self.divisor *= 2
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # what lies between too small gaps
        # Among progress bars as well.
        tqdm.write(
            f"note: out of memory with {failed} inputs at once; chunks are halved from here on (memory_mb sets them)",
            file=sys.stderr,
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> "Chunking":
        return self
