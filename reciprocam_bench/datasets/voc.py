"""PASCAL VOC in the standard VOCdevkit layout."""

from collections import defaultdict
from pathlib import Path

from reciprocam_bench.datasets.annotations import AnnotatedObject, read_annotation
from reciprocam_bench.datasets.dataset import Dataset, Sample, Target, existing_folder, leaves
from reciprocam_bench.datasets.difficult import mark_hard
from reciprocam_bench.datasets.registry import dataset
from reciprocam_bench.errors import UserError, did_you_mean
from reciprocam_bench.regular import not_a_file

VOC_CATEGORIES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


@dataset("voc")
def voc(*, root: str, year: int = 2007, split: str = "test", difficult: str | None = None) -> Dataset:
    """PASCAL VOC: every category present is a trial, with its boxes.

    ``root`` is VOCdevkit, the folder above it, or VOC<year>. ``split`` is a file of ``ImageSets/Main`` (any one: a
    class's own file such as ``car_test`` works too). A category whose objects are all flagged difficult is no trial.
    ``difficult`` is a flag file for the pointing game's subset of that name (docs/pointing.md).
    """
    base = _year_folder(existing_folder(root), year)
    lists = base / "ImageSets" / "Main"
    path = lists / f"{split}.txt"
    if reason := not_a_file(path):
        known = [p.stem for p in lists.glob("*.txt")]
        raise UserError(f"{path} {reason}; set dataset.split{did_you_mean(split, known)}")
    samples, skipped = [], []
    for name in dict.fromkeys(line.split()[0] for line in _lines(path) if line.strip()):
        image = base / "JPEGImages" / f"{name}.jpg"
        try:
            if leaves(name):
                raise ValueError("listed, but its name leaves the image folder; refused")
            if reason := not_a_file(image):
                raise ValueError(f"listed, but the image file {reason}")
            annotation = read_annotation(base / "Annotations" / f"{name}.xml")
        except ValueError as error:
            skipped.append((image.name, str(error)))
            continue
        skipped += [(image.name, reason) for reason in annotation.dropped]
        targets, unknown = _targets(annotation.objects, (annotation.width, annotation.height))
        skipped += [(image.name, f"'{category}' is no VOC category") for category in unknown]
        skipped += [(image.name, f"'{t.category}': every object is difficult") for t in targets if t.difficult]
        samples.append(Sample(image.name, image, None, targets))
    return mark_hard(Dataset(f"voc{year}-{split}", samples, skipped, VOC_CATEGORIES), difficult)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None


def _year_folder(root: Path, year: int) -> Path:
    for folder in (root / f"VOC{year}", root / "VOCdevkit" / f"VOC{year}", root):
        if (folder / "Annotations").is_dir() and (folder / "ImageSets").is_dir():
            return folder
    raise UserError(
        f"{root} holds no VOC{year}/ with Annotations/ and ImageSets/; correct dataset.root or dataset.year"
    )


def _targets(objects: list[AnnotatedObject], size: tuple[int, int]) -> tuple[tuple[Target, ...], list[str]]:
    of_category: dict[str, list[AnnotatedObject]] = defaultdict(list)
    for found in objects:
        of_category[found.name].append(found)
    targets = tuple(
        Target(
            name,
            index,
            tuple(o.box for o in of_category[name]),
            size,
            difficult=all(o.difficult for o in of_category[name]),
        )
        for index, name in enumerate(VOC_CATEGORIES)
        if name in of_category
    )
    return targets, sorted(of_category.keys() - set(VOC_CATEGORIES))
