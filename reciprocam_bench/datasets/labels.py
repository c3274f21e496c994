"""Read the label files that ImageNet's validation images come with."""

import csv
import re
from pathlib import Path

from scipy.io import loadmat

from reciprocam_bench.datasets.sample import imagenet_wnids
from reciprocam_bench.errors import UserError

DEVKIT_TRUTH = "ILSVRC2012_validation_ground_truth.txt"


def read_label_file(name: str) -> dict[str, int]:
    """Class index by image stem, from any of the formats in use.

    Read are: the devkit's ``ILSVRC2012_validation_ground_truth.txt`` (its ``meta.mat`` must lie beside it, because its
    numbers are the devkit's own), ``LOC_val_solution.csv`` (image, then wnid and box), two or more columns (image, wnid
    or class index 0 to 999), and one column of class indices, one line for each ILSVRC2012 validation image in order.

    Raises ``UserError`` naming file and line.
    """
    path = Path(name).expanduser()
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except FileNotFoundError:
        raise UserError(f"label file {path} does not exist; correct the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"label file {path} cannot be read: {error}") from None
    if not lines:
        raise UserError(f"label file {path} is empty")
    if path.name == DEVKIT_TRUTH:
        return _devkit(path, lines)
    if all(line.isdigit() for line in lines):
        return {_validation_stem(i): _index(line, path, i) for i, line in enumerate(lines, 1)}
    rows = list(csv.reader(lines)) if "," in lines[0] else [re.split(r"[\s;]+", line) for line in lines]
    labels = {}
    for number, row in enumerate(rows, 1):
        if len(row) < 2:
            raise UserError(f"{path}, line {number}: write 'image label'; found '{' '.join(row)}'")
        # A CSV may have more columns: the wnid or index is the first one that reads as one.
        words = row[1].split()[:1] + [column.strip() for column in row[2:]]
        label = next((found for word in words if (found := _class(word)) is not None), None)
        if label is None and number == 1:
            continue  # a heading
        if label is None:
            raise UserError(f"{path}, line {number}: '{row[1]}' is neither a wnid nor a class index 0 to 999")
        labels[Path(row[0].strip()).stem] = label
    return labels


def _class(word: str) -> int | None:
    if word in imagenet_wnids():
        return imagenet_wnids()[word]
    return int(word) if word.isdigit() and int(word) < 1000 else None


def _index(word: str, path: Path, line: int) -> int:
    if int(word) > 999:
        raise UserError(
            f"{path}, line {line}: {word} is no class index 0 to 999; the devkit's own numbers need its file name "
            f"{DEVKIT_TRUTH} and its meta.mat"
        )
    return int(word)


def _validation_stem(number: int) -> str:
    return f"ILSVRC2012_val_{number:08d}"


def _devkit(path: Path, lines: list[str]) -> dict[str, int]:
    meta = path.parent / "meta.mat"
    if not meta.is_file():
        raise UserError(f"{path} needs the devkit's meta.mat beside it, which says what its numbers mean")
    synsets = loadmat(str(meta), squeeze_me=True)["synsets"]
    number_to_index = {
        int(row["ILSVRC2012_ID"]): imagenet_wnids()[str(row["WNID"])]
        for row in synsets
        if str(row["WNID"]) in imagenet_wnids()
    }
    try:
        return {_validation_stem(i): number_to_index[int(line)] for i, line in enumerate(lines, 1)}
    except (KeyError, ValueError) as error:
        raise UserError(f"{path}: {error} is not a class number of {meta}") from None
