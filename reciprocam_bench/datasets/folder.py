"""A plain folder of images, with or without a label file."""

from reciprocam_bench.datasets.dataset import Dataset, Sample, existing_folder, list_images
from reciprocam_bench.datasets.labels import find_label, read_label_file
from reciprocam_bench.datasets.registry import dataset


@dataset("folder")
def folder(*, root: str, labels: str | None = None) -> Dataset:
    """Every image under ``root``. ``labels`` is a two-column file: image name, class index or wnid."""
    base = existing_folder(root)
    known = read_label_file(labels) if labels else {}
    images, skipped = list_images(base)
    samples = []
    for name, path in images:
        label = find_label(known, name)
        if labels and label is None:
            skipped.append((name, "not in the label file"))
        else:
            samples.append(Sample(name, path, label))
    return Dataset("folder", samples, skipped)
