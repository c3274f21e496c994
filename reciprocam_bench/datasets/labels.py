"""Read the label files that ImageNet's validation images come with."""

import csv
import re
from pathlib import Path

from reciprocam_bench.datasets.dataset import imagenet_wnids
from reciprocam_bench.errors import UserError
from reciprocam_bench.regular import not_a_file
from reciprocam_bench.variables import expanded

DEVKIT_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
_OUTER = "*/"  # stands for folders that a label file writes before the root of the images


def read_label_file(name: str, classes: int = 1000) -> dict[str, int]:
    """Class index by image, from any of the formats in use, all below ``classes``; `find_label` looks one up.

    Images are named as in the file, and without their suffix where that means one class.

    Read are: the devkit's ``ILSVRC2012_validation_ground_truth.txt`` (its ``meta.mat`` must lie beside it, because its
    numbers are the devkit's own), ``LOC_val_solution.csv`` (image, then wnid and box), two or more columns (image, wnid
    or class index), and one column of class indices, one line for each ILSVRC2012 validation image in order.

    Raises ``UserError`` naming file and line.
    """
    path = expanded(name)
    if reason := not_a_file(path):
        raise UserError(f"label file {path} {reason}; correct the path")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"label file {path} cannot be read: {error}") from None
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise UserError(f"label file {path} is empty")
    if path.name == DEVKIT_TRUTH:
        return _devkit(path, [line for _, line in lines])
    if all(line.isdecimal() for _, line in lines):
        return {_validation_stem(i): _index(line, path, n, classes) for i, (n, line) in enumerate(lines, 1)}
    return _columns(path, lines, classes)


def find_label(labels: dict[str, int], relative: str) -> int | None:
    """The label of an image given by its path in the folder, which the file may write with fewer folders, or with more.

    The suffix does not count where the path without it means one class.
    """
    keys = [key for tail in _tails(relative) for key in (tail, _bare(tail))]
    keys += [_OUTER + relative, _OUTER + _bare(relative)]
    return next((labels[key] for key in keys if key in labels), None)


def _tails(name: str) -> list[str]:
    """``a/b/c``, ``b/c``, ``c``."""
    parts = name.split("/")
    return ["/".join(parts[i:]) for i in range(len(parts))]


def _bare(name: str) -> str:
    return name.removesuffix(Path(name).suffix)


def _columns(path: Path, lines: list[tuple[int, str]], classes: int) -> dict[str, int]:
    comma = "," in lines[0][1]
    labels: dict[str, int] = {}
    for position, (number, line) in enumerate(lines):
        row = next(csv.reader([line])) if comma else _split(line, classes)
        if len(row) < 2:
            raise UserError(f"{path}, line {number}: write 'image label'; found '{' '.join(row)[:60]}'")
        # A CSV may have more columns: the wnid or index is the first one that reads as one.
        words = row[1].split()[:1] + [column.strip() for column in row[2:]]
        label = next((found for word in words if (found := _class(word, classes)) is not None), None)
        if label is None and position == 0 and not any(w.lstrip("-").isdecimal() for w in words):
            continue  # a heading
        if label is None:
            raise UserError(
                f"{path}, line {number}: '{row[1].strip()[:60]}' is neither a wnid nor a class index 0 to {classes - 1}"
            )
        name = row[0].strip()
        if labels.setdefault(name, label) != label:
            raise UserError(f"{path}, line {number}: '{name[:60]}' is of class {label} here, of {labels[name]} before")
    short: dict[str, set[int]] = {}
    for name, label in labels.items():
        outer = [_OUTER + key for tail in _tails(name)[1:] for key in (tail, _bare(tail))]
        for key in (_bare(name), *outer):
            short.setdefault(key, set()).add(label)
    return {key: min(found) for key, found in short.items() if len(found) == 1} | labels


def _split(line: str, classes: int) -> list[str]:
    """Columns at tabs or semicolons, as names may hold spaces, where the second is a class then; else at spaces too."""
    columns = re.split(r"\s*[\t;]\s*", line)
    return columns if len(columns) > 1 and _class(columns[1], classes) is not None else re.split(r"[\s;]+", line)


def _class(word: str, classes: int) -> int | None:
    if word in imagenet_wnids():
        return imagenet_wnids()[word]
    return int(word) if _is_index(word, classes) else None


def _is_index(word: str, classes: int) -> bool:
    # A number of thousands of digits is not turned into one.
    return word.isdecimal() and len(word.lstrip("0")) <= len(str(classes)) and int(word) < classes


def _index(word: str, path: Path, line: int, classes: int) -> int:
    if not _is_index(word, classes):
        raise UserError(
            f"{path}, line {line}: {word[:60]} is no class index 0 to {classes - 1}; the devkit's own numbers need its "
            f"file name {DEVKIT_TRUTH} and its meta.mat"
        )
    return int(word)


def _validation_stem(number: int) -> str:
    return f"ILSVRC2012_val_{number:08d}"


def _devkit(path: Path, lines: list[str]) -> dict[str, int]:
    meta = path.parent / "meta.mat"
    if not meta.is_file():
        raise UserError(f"{path} needs the devkit's meta.mat beside it, which says what its numbers mean")
    from scipy.io import loadmat  # here, as only a devkit's own file needs it

    try:
        number_to_index = {
            int(row["ILSVRC2012_ID"]): imagenet_wnids()[str(row["WNID"])]
            for row in loadmat(str(meta), squeeze_me=True)["synsets"]
            if str(row["WNID"]) in imagenet_wnids()
        }
    except Exception as error:  # the MATLAB reader fails on damaged files in many ways
        raise UserError(f"{meta} is not readable as the devkit's meta.mat: {type(error).__name__}") from None
    try:
        return {_validation_stem(i): number_to_index[int(line)] for i, line in enumerate(lines, 1)}
    except (KeyError, ValueError) as error:
        raise UserError(f"{path}: {error} is not a class number of {meta}") from None
