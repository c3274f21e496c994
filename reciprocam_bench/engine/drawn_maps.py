"""The raw maps of the images that get a picture sheet, on disk: a run that goes on explains none again."""

import hashlib
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from reciprocam_bench.errors import UserError
from reciprocam_bench.runfolder.raw_maps import DRAWN, FOLDER


class DrawnMaps:
    """A file for each image and class under one protocol, in ``raw_maps/drawn/``; methods join it."""

    def __init__(self, run_folder: Path, protocol: str) -> None:
        self._folder = run_folder / FOLDER / DRAWN / protocol

    def read(self, image: str, class_index: int) -> dict[str, Tensor]:
        """The raw maps ``(h, w)`` by the methods' titles; none where there is no file, or a damaged one."""
        try:
            return load_file(str(self._path(image, class_index)))
        except (OSError, SafetensorError):
            return {}

    def add(self, image: str, class_index: int, maps: dict[str, Tensor]) -> None:
        """Put maps ``(h, w)`` beside those that are there; the file is written whole or not at all."""
        path = self._path(image, class_index)
        new = {title: cam.detach().float().cpu().contiguous() for title, cam in maps.items()}
        partial = path.with_suffix(".part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(self.read(image, class_index) | new, str(partial))
            partial.replace(path)
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"{path} cannot be written: {error}; what is done is kept, free the disk and run again"
            ) from None

    def _path(self, image: str, class_index: int) -> Path:
        name = hashlib.sha256(f"{class_index}\0{image}".encode("utf-8", "surrogateescape")).hexdigest()[:16]
        return self._folder / f"{name}.safetensors"
