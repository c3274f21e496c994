"""COCO instances, read with pycocotools."""

import contextlib
import io
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from reciprocam_bench.datasets.annotations import LARGEST
from reciprocam_bench.datasets.dataset import Box, Dataset, Sample, Target, existing_folder, leaves
from reciprocam_bench.datasets.difficult import mark_hard
from reciprocam_bench.datasets.registry import dataset
from reciprocam_bench.datasets.run_lengths import check_run_lengths
from reciprocam_bench.errors import UserError
from reciprocam_bench.regular import not_a_file


@dataset("coco")
def coco(
    *,
    root: str,
    annotations: str = "annotations/instances_val2014.json",
    images: str | None = None,
    difficult: str | None = None,
) -> Dataset:
    """COCO: every category present is a trial, with the union of its masks (polygons, or run lengths of crowds).

    ``annotations`` is the instances file, relative to ``root`` or absolute; ``images`` the image folder, if it is not
    ``val2014`` or ``images/val2014`` (after the annotation file's name). ``difficult`` is a flag file for the pointing
    game's subset of that name (docs/pointing.md).
    """
    base = existing_folder(root)
    path = base / annotations
    api = _read(path)
    split = path.stem.removeprefix("instances_")
    folder = _image_folder(base, images, split)
    try:
        categories = sorted(api.loadCats(api.getCatIds()), key=lambda c: c["id"])
        index = {c["id"]: i for i, c in enumerate(categories)}
        names = tuple(str(c["name"]) for c in categories)
        samples, skipped = [], []
        for record in sorted(api.loadImgs(api.getImgIds()), key=lambda r: r["id"]):
            sample, reasons = _sample(api, record, folder, index, names)
            skipped += [(str(record["file_name"]), reason) for reason in reasons]
            if sample is not None:
                samples.append(sample)
    except KeyError as error:
        raise UserError(f"{path}: {error} is missing; this is no COCO instances file") from None
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(f"{path}: this is no COCO instances file ({str(error)[:100]})") from None
    return mark_hard(Dataset(f"coco-{split}", samples, skipped, names), difficult)


def _read(path: Path) -> COCO:
    if reason := not_a_file(path):
        raise UserError(f"{path} {reason}; set dataset.annotations to the instances file")
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints how long it took
            return COCO(str(path))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as JSON: {error}") from None
    except RecursionError:
        raise UserError(f"{path}: not readable as JSON: nested too deeply") from None
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: this is no COCO instances file ({error})") from None


def _image_folder(base: Path, images: str | None, split: str) -> Path:
    if images:
        return existing_folder(str(base / images), "dataset.images")
    for folder in (base / split, base / "images" / split, base / "images"):
        if folder.is_dir():
            return folder
    raise UserError(f"{base} holds no folder {split} or images/{split}; set dataset.images")


def _sample(
    api: COCO, record: dict[str, Any], folder: Path, index: dict[int, int], names: tuple[str, ...]
) -> tuple[Sample | None, list[str]]:
    path = folder / record["file_name"]
    if leaves(record["file_name"]):
        return None, ["listed, but its file_name leaves the image folder; refused"]
    if reason := not_a_file(path):
        return None, [f"listed, but the image file {reason}"]
    size = (int(record["width"]), int(record["height"]))
    if not all(0 < side <= LARGEST for side in size):
        return None, [f"its size is given as {size[0]} x {size[1]}; sides are from 1 to {LARGEST:,}"]
    of_category: dict[int, list[dict[str, Any]]] = defaultdict(list)
    reasons = []
    for annotation in api.loadAnns(api.getAnnIds(imgIds=[record["id"]])):
        if annotation["category_id"] not in index:
            reasons.append(f"category id {annotation['category_id']} is not in the file")
        else:
            of_category[index[annotation["category_id"]]].append(annotation)
    targets = []
    for i, found in sorted(of_category.items()):
        boxes, segments = [], []
        for annotation in found:
            try:
                box, segment = _object(api, annotation, size)
            except Exception as error:  # pycocotools raises bare ones
                reasons.append(f"'{names[i]}': its segmentation cannot be read ({error})")
            else:
                boxes += [box] if box else []
                segments += [segment] if segment else []
                if not (box and segment):
                    reasons.append(f"'{names[i]}': its objects have no area inside the image")
        if boxes and segments:
            targets.append(Target(names[i], i, tuple(boxes), size, tuple(segments)))
    return Sample(str(record["file_name"]), path, None, tuple(targets)), list(dict.fromkeys(reasons))


def _object(api: COCO, annotation: dict[str, Any], size: tuple[int, int]) -> tuple[Box | None, dict[str, Any] | None]:
    """Box and run lengths of an object, None for what has no area; one with a box alone is its box."""
    x, y, w, h = annotation["bbox"]
    given = annotation.get("segmentation") or [[x, y, x + w, y, x + w, y + h, x, y + h]]
    if isinstance(given, dict):
        check_run_lengths(given, *size)
    segment = api.annToRLE(annotation | {"segmentation": given})
    if tuple(segment["size"]) != (size[1], size[0]):
        raise ValueError("its run lengths are of another image size")
    box = Box(max(x, 0), max(y, 0), min(x + w, size[0]), min(y + h, size[1]))
    area = box.right > box.left and box.bottom > box.top
    # Decoded once here, because run lengths that are broken show only then.
    return box if area else None, segment if coco_mask.decode(segment).any() else None
