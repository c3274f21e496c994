"""What a data set is to the rest of the code: a list of samples."""

import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from timm.data import ImageNetInfo

from reciprocam_bench.errors import UserError
from reciprocam_bench.regular import not_a_file
from reciprocam_bench.variables import expanded

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff")


@dataclass(frozen=True)
class Box:
    """A box in pixels: left, top inclusive; right, bottom exclusive."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Target:
    """What an image shows of one category: the ground truth of one trial of a localisation metric.

    Attributes:
        category: its name, or a wnid.
        index: its place among the data set's categories (ImageNet: the class index).
        boxes: its boxes, the difficult ones too.
        segments: COCO run-length masks, if the data set has them; they then say where the objects are.
        difficult: the data set's own flag on every one of its objects; such a category is no trial.
        hard: in the "difficult" subset of the pointing game, another thing (`reciprocam_bench.datasets.difficult`).
        drawn_on: (width, height) of the image it was annotated on; some copies of a data set hold resized images.
    """

    category: str
    index: int
    boxes: tuple[Box, ...]
    drawn_on: tuple[int, int]
    segments: tuple[dict[str, Any], ...] = ()
    difficult: bool = False
    hard: bool = False


@dataclass(frozen=True)
class Sample:
    """One image: where it is, its class index if it has one label, and what is annotated in it."""

    id: str
    path: Path
    label: int | None = None
    targets: tuple[Target, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """Samples, and what was left out while reading them, as (id, reason).

    A loader's order does not matter: `reciprocam_bench.datasets.registry.load_dataset` gives every data set its own.

    ``categories`` are the names of a data set with several categories an image, in the order of a multi-label head's
    outputs; None where an image has one label. ``hard_by`` says where the targets' ``hard`` flags come from.
    ``beyond_subset`` and ``beyond_limit`` count the samples that a subset, and then a limit, left out.
    """

    name: str
    samples: list[Sample]
    skipped: list[tuple[str, str]] = field(default_factory=list)
    categories: tuple[str, ...] | None = None
    hard_by: str = ""
    beyond_subset: int = 0
    beyond_limit: int = 0

    @property
    def chosen(self) -> int:
        """How many samples there are without a limit."""
        return len(self.samples) + self.beyond_limit

    @property
    def total(self) -> int:
        """How many samples there are without subset and limit."""
        return self.chosen + self.beyond_subset

    def require_labels(self) -> None:
        """Raise ``UserError`` if a sample has no label."""
        for sample in self.samples:
            if sample.label is None:
                raise UserError(
                    f"data set '{self.name}': no label for {sample.id}; give dataset.labels, or set classes=predicted"
                )


@cache
def imagenet_wnids() -> dict[str, int]:
    """Class index (0 to 999) of each of the 1,000 ImageNet wnids, which are in sorted order."""
    return {wnid: index for index, wnid in enumerate(ImageNetInfo("imagenet-1k").label_names())}


def list_images(
    folder: Path, base: Path | None = None, *, deep: bool = True
) -> tuple[list[tuple[str, Path]], list[tuple[str, str]]]:
    """The image files in ``folder``, and if ``deep`` in the folders under it, sorted by path.

    Returns:
        (name, path) of each, the name relative to ``base`` (``folder`` if left out); and (name, reason) of what is
        named like an image but is no regular file, and of folders that cannot be read.
    """
    found, skipped = _walked(folder, base or folder, deep)
    named = sorted(p for p in found if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))
    images = []
    for path in named:
        name = path.relative_to(base or folder).as_posix()
        if reason := not_a_file(path):
            skipped.append((name, reason))
        else:
            images.append((name, path))
    return images, skipped


def _walked(folder: Path, base: Path, deep: bool) -> tuple[list[Path], list[tuple[str, str]]]:
    """All that is in a folder, and the folders under it that went away or cannot be read, with the reason."""
    found: list[Path] = []
    unread: list[tuple[str, str]] = []

    def note(error: OSError) -> None:
        name = Path(error.filename).relative_to(base).as_posix()
        unread.append((name, f"the folder cannot be read: {error.strerror}"))

    for place, folders, files in os.walk(folder, onerror=note, followlinks=True):
        found += [Path(place) / name for name in (*folders, *files)]
        if not deep:
            break
        folders[:] = [name for name in folders if not _leads_back(Path(place) / name, folder)]
    return found, unread


def _leads_back(path: Path, top: Path) -> bool:
    """Whether a folder is a link to one that it lies in, or to one above ``top``: there would be no end to it."""
    if not path.is_symlink():
        return False
    target = Path(os.path.realpath(path))
    inside = [place for place in path.parents if place == top or top in place.parents]
    return any(target == above or target in above.parents for above in (Path(os.path.realpath(p)) for p in inside))


def leaves(name: object) -> bool:
    """Whether a name that a data set's file gives leads out of the folder that it is looked up in."""
    return isinstance(name, str) and (Path(name).is_absolute() or ".." in Path(name).parts)


def existing_folder(root: str, key: str = "dataset.root") -> Path:
    """The folder ``root``; one that is missing is a ``UserError``."""
    folder = expanded(root)
    if not os.path.isdir(folder):  # noqa: PTH112 - False for names that no file system takes
        raise UserError(f"{key}: {root} is not a folder; correct the path")
    if folder.resolve() == Path(folder.resolve().anchor):
        raise UserError(f"{key}: {root} is the whole file system; give the folder of the images")
    return folder
