"""Raw maps written by hand into run folders."""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from reciprocam_bench.runfolder.raw_maps import Trial, method_folder, told

TRIALS: list[Trial] = [("a.png", "", 3), ("b.png", "cat", 1), ("b.png", "dog", 2), ("c.png", "", 0)]


def keep(folder: Path, method: str, maps: np.ndarray, trials: list[Trial] = TRIALS, name: str = "x") -> Path:
    """A file of maps of a method, one for each trial."""
    path = folder / "raw_maps/view" / method_folder(method) / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"maps": maps.astype(np.float32)}, path, told("poppi-2021", trials))
    return path
