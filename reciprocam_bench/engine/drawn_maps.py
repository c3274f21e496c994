"""The raw maps of images that are shown, on disk: a run that goes on explains none again."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from reciprocam_bench.errors import UserError
from reciprocam_bench.pictures import View, shrunk
from reciprocam_bench.runfolder.raw_maps import DRAWN, drawn_path

_SIDE = 160  # pixels of what is kept of a picture


class DrawnMaps:
    """A file for each image and class under one protocol, in ``raw_maps/drawn/`` or another folder; methods join it."""

    def __init__(self, run_folder: Path, protocol: str, kind: str = DRAWN) -> None:
        self._run_folder, self._protocol, self._kind = run_folder, protocol, kind

    def read(self, image: str, class_index: int) -> dict[str, Tensor]:
        """The raw maps ``(h, w)`` by the methods' titles; none where there is no file, or a damaged one."""
        try:
            return load_file(str(self._path(image, class_index)))
        except (OSError, SafetensorError):
            return {}

    def add(self, image: str, class_index: int, maps: dict[str, Tensor]) -> None:
        """Put maps ``(h, w)`` beside those that are there; the file is written whole or not at all."""
        new = {title: cam.detach().float().cpu().contiguous() for title, cam in maps.items()}
        with _written_whole(self._path(image, class_index)) as partial:
            save_file(self.read(image, class_index) | new, str(partial))

    def add_picture(self, image: str, class_index: int, picture: Image.Image, view: View | None = None) -> None:
        """Keep what the network saw of a picture, all of it without a ``view``, small, beside its maps.

        Pages show both together.
        """
        seen = picture.convert("RGB")
        if view is not None:
            left, top, right, bottom = map(round, view)
            seen = seen.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
        with _written_whole(self._path(image, class_index).with_suffix(".jpg")) as partial:
            shrunk(seen, (_SIDE, _SIDE)).save(partial, "JPEG", quality=80)

    def _path(self, image: str, class_index: int) -> Path:
        return drawn_path(self._run_folder, self._protocol, image, class_index, self._kind)


@contextmanager
def _written_whole(path: Path) -> Iterator[Path]:
    """Where to write a file that is then ``path``, whole or not at all; ``UserError`` where it cannot be written."""
    partial, folder = path.with_suffix(".part"), path.parent
    try:
        for one in (folder.parents[1], folder.parents[0], folder):  # not the run folder: one that went away is no run
            one.mkdir(exist_ok=True)
        yield partial
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        if file := next((one for one in path.parents if one.is_file()), None):
            raise UserError(f"{file} is a file, where a folder should be; move it away, and run again") from None
        raise UserError(
            f"{path} cannot be written: {error}; what is done is kept, free the disk and run again"
        ) from None
