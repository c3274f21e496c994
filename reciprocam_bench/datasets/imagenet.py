"""ImageNet (ILSVRC2012) validation images, in every layout users have."""

from dataclasses import replace
from pathlib import Path

from reciprocam_bench.datasets.annotations import read_annotation
from reciprocam_bench.datasets.dataset import Dataset, Sample, Target, existing_folder, imagenet_wnids, list_images
from reciprocam_bench.datasets.labels import DEVKIT_TRUTH, find_label, read_label_file
from reciprocam_bench.datasets.registry import dataset
from reciprocam_bench.errors import UserError
from reciprocam_bench.regular import not_a_file
from reciprocam_bench.variables import expanded

_IMAGE_FOLDERS = (
    "",
    "val",
    "validation",
    "ILSVRC2012_img_val",
    "ILSVRC/Data/CLS-LOC/val",
    "Data/CLS-LOC/val",
    "images",
)
_LABEL_FILES = (
    "LOC_val_solution.csv",
    "val.txt",
    "val_labels.txt",
    "labels.csv",
    "labels.txt",
    f"ILSVRC2012_devkit_t12/data/{DEVKIT_TRUTH}",
    f"data/{DEVKIT_TRUTH}",
    DEVKIT_TRUTH,
)
_BOX_FOLDERS = ("ILSVRC/Annotations/CLS-LOC/val", "Annotations/CLS-LOC/val", "bbox/val")


@dataset("imagenet")
def imagenet(*, root: str, labels: str | None = None, boxes: str | None = None) -> Dataset:
    """Validation images with class indices, and boxes where XML files are found.

    Read are class folders named by wnid (any subset of the 1,000: the index comes from the wnid), in ``root`` or its
    ``val/``; or a flat folder of images with a label file (`read_label_file` says which kinds), found beside it or
    given as ``labels``; a file that is given counts before the names of class folders. ``boxes`` is a folder of XML
    files named like the images.
    """
    base = existing_folder(root)
    if labels and (wrong := not_a_file(expanded(labels))):
        raise UserError(f"label file {labels} {wrong}; correct the path")
    samples, skipped = _from_class_folders(base)
    if samples and labels:
        samples, more = _relabelled(samples, labels)
        skipped += more
    elif not samples:
        samples, more = _from_flat_folder(base, labels)
        skipped += more
    xml_folder = existing_folder(boxes, "dataset.boxes") if boxes else _first(base, _BOX_FOLDERS)
    if xml_folder is None:
        return Dataset("imagenet", samples, skipped)
    with_boxes = []
    for sample in samples:
        sample, reason = _add_boxes(sample, xml_folder)
        with_boxes.append(sample)
        if reason:
            skipped.append((sample.id, f"boxes: {reason}"))
    if boxes and not any(sample.targets for sample in with_boxes):
        raise UserError(
            f"dataset.boxes: {boxes} holds no box of any of the {len(with_boxes)} images ({skipped[-1][0]}: "
            f"{skipped[-1][1]}); its files are named like the images, with the ending .xml"
        )
    return Dataset("imagenet", with_boxes, skipped)


def _from_class_folders(base: Path) -> tuple[list[Sample], list[tuple[str, str]]]:
    for name in _IMAGE_FOLDERS:
        folder = base / name
        classes = [p for p in folder.iterdir() if p.name in imagenet_wnids() and p.is_dir()] if folder.is_dir() else []
        samples: list[Sample] = []
        skipped: list[tuple[str, str]] = []
        for wnid in sorted(classes):
            images, no_images = list_images(wnid, folder)
            samples += [Sample(name, path, imagenet_wnids()[wnid.name]) for name, path in images]
            skipped += no_images
        if classes:
            return samples, skipped
    return [], []


def _relabelled(samples: list[Sample], labels: str) -> tuple[list[Sample], list[tuple[str, str]]]:
    known = read_label_file(labels)
    found = [(sample, find_label(known, sample.id)) for sample in samples]
    return (
        [replace(sample, label=label) for sample, label in found if label is not None],
        [(sample.id, "not in the label file") for sample, label in found if label is None],
    )


def _from_flat_folder(base: Path, labels: str | None) -> tuple[list[Sample], list[tuple[str, str]]]:
    folders = [base / name for name in _IMAGE_FOLDERS if (base / name).is_dir()]
    folder = next((f for f in folders if any(list_images(f, deep=False))), None)
    if folder is None:
        return [], []
    path = labels or next(
        (str(p) for place in (base, base.parent) for n in _LABEL_FILES if (p := place / n).is_file()), None
    )
    if path is None:
        raise UserError(
            f"{folder} holds images in no class folders, and no label file was found beside them; "
            "set dataset.labels to one (LOC_val_solution.csv, the devkit's ground truth, or 'image label' lines)"
        )
    known = read_label_file(path)
    images, skipped = list_images(folder, deep=False)
    samples = []
    for name, image in images:
        label = find_label(known, name)
        if label is not None:
            samples.append(Sample(name, image, label))
        else:
            skipped.append((name, "not in the label file"))
    return samples, skipped


def _first(base: Path, names: tuple[str, ...]) -> Path | None:
    return next((base / name for name in names if (base / name).is_dir()), None)


def _add_boxes(sample: Sample, folder: Path) -> tuple[Sample, str | None]:
    """The sample with the boxes of its class, and why there are none or fewer."""
    try:
        annotation = read_annotation(folder / f"{sample.path.stem}.xml")
    except ValueError as error:
        return sample, str(error)
    boxes = tuple(o.box for o in annotation.objects if imagenet_wnids().get(o.name) == sample.label)
    reason = "; ".join(annotation.dropped) or (None if boxes else "none of the labelled class")
    if not boxes or sample.label is None:
        return sample, reason
    wnid = next(o.name for o in annotation.objects if imagenet_wnids().get(o.name) == sample.label)
    target = Target(wnid, sample.label, boxes, (annotation.width, annotation.height))
    return replace(sample, targets=(target,)), reason
