"""A plain folder of images, with or without labels."""

from collections.abc import Iterable
from pathlib import Path

from reciprocam_bench.datasets.dataset import Dataset, Sample, existing_folder, list_images
from reciprocam_bench.datasets.labels import find_label, read_label_file
from reciprocam_bench.datasets.registry import dataset
from reciprocam_bench.errors import UserError

OF_FOLDERS = "folders"
_MOST_CLASSES = 1_000_000  # how many the network knows is not known here


@dataset("folder")
def folder(*, root: str, labels: str | None = None) -> Dataset:
    """Every image under ``root``. ``labels``: a two-column file (image, class index or wnid), or ``folders``."""
    base = existing_folder(root)
    images, skipped = list_images(base)
    if labels == OF_FOLDERS:
        known, lacking = _of_folders(base, [name for name, _ in images]), "in no class folder"
        if not known:
            raise UserError(f"dataset.labels: {base} has no class folders with images; give a label file, or none")
    else:
        known, lacking = read_label_file(labels, _MOST_CLASSES) if labels else {}, "not in the label file"
    samples = []
    for name, path in images:
        label = known.get(name) if labels == OF_FOLDERS else find_label(known, name)
        if labels and label is None:
            skipped.append((name, lacking))
        else:
            samples.append(Sample(name, path, label))
    return Dataset("folder", samples, skipped)


def _of_folders(base: Path, names: Iterable[str]) -> dict[str, int]:
    """The class of each image in a folder of ``root``: the place of its name, as torchvision numbers them.

    A folder without images has a number, too: it is a class of the network.
    """
    there = sorted(path.name for path in base.iterdir() if path.is_dir() and not path.name.startswith("."))
    order = {found: index for index, found in enumerate(there)}
    classes = {name: name.partition("/")[0] for name in names if "/" in name}
    return {name: order[found] for name, found in classes.items() if found in order}
