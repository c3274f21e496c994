"""Where raw maps lie in a run folder, and what readers find there."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from reciprocam_bench.titles import file_name

FOLDER, DRAWN, PAGE = "raw_maps", "drawn", "page"
MOST_CELLS = 16  # of a map on a page, along a side
# What a file tells of its maps: for each of them image, category and class; and the protocol they were made under.
Trial = tuple[str, str, int]


@dataclass(frozen=True)
class KeptMaps:
    """The maps ``(N, h, w)`` of one method for a batch, float32, and the N trials that they are of."""

    protocol: str
    trials: list[Trial]
    maps: np.ndarray


def short(text: str) -> str:
    """Sixteen letters and digits in place of any text."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def method_folder(title: str) -> str:
    """The folder of a method's maps in that of a view."""
    return f"{file_name(title)[:60]}_{short(title)}"


def told(protocol: str, trials: list[Trial]) -> dict[str, str]:
    """What is written beside maps; one text, as safetensors writes several in any order."""
    return {"about": json.dumps({"protocol": protocol, "trials": trials})}


def drawn_path(run_folder: Path, protocol: str, image: str, class_index: int, kind: str = DRAWN) -> Path:
    """The file of the raw maps of an image and class; what the network saw lies beside it, as ``.jpg``.

    ``kind`` is ``DRAWN`` for images with a picture sheet, ``PAGE`` for the others that a page shows.
    """
    name = short(f"{class_index}\0{image}")
    return run_folder / FOLDER / kind / protocol / f"{name}.safetensors"


def drawn_maps(path: Path) -> dict[str, np.ndarray]:
    """The raw maps ``(h, w)`` of an image by the methods' titles; none where there is no file, or a damaged one."""
    try:
        return load_file(str(path))
    except (OSError, SafetensorError):
        return {}


def shown_maps(run_folder: Path, protocol: str, image: str, class_index: int) -> dict[str, np.ndarray]:
    """The raw maps ``(h, w)`` of an image that has a sheet, or that a page shows; there a fine map is averaged."""
    maps: dict[str, np.ndarray] = {}
    for kind in (PAGE, DRAWN):
        maps |= drawn_maps(drawn_path(run_folder, protocol, image, class_index, kind))
    return maps


def views(run_folder: Path) -> list[Path]:
    """The folders of maps, one for each way that images are prepared."""
    folder = run_folder / FOLDER
    inside = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in inside if path.is_dir() and path.name not in (DRAWN, PAGE))


def kept_maps(view: Path, title: str) -> Iterator[KeptMaps]:
    """What is kept of a method; files that are damaged, or do not say what they hold, are left out."""
    for path in sorted((view / method_folder(title)).glob("*.safetensors")):
        try:
            with safe_open(path, "numpy") as file:
                about, maps = json.loads((file.metadata() or {})["about"]), file.get_tensor("maps")
            trials = [(str(image), str(category), int(index)) for image, category, index in about["trials"]]
            protocol = str(about["protocol"])
        except (OSError, SafetensorError, KeyError, ValueError, TypeError):
            continue
        if maps.ndim == 3 and len(maps) == len(trials) and maps.size:
            yield KeptMaps(protocol, trials, maps.astype(np.float32))
