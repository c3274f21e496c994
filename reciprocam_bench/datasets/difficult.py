"""The "difficult" subset of the pointing game: small objects among others."""

import csv
from dataclasses import replace
from pathlib import Path

from reciprocam_bench.datasets.dataset import Dataset, Sample, Target
from reciprocam_bench.datasets.targets import area_share
from reciprocam_bench.errors import UserError
from reciprocam_bench.regular import not_a_file
from reciprocam_bench.variables import expanded

_LARGE = 0.25


def mark_hard(dataset: Dataset, flag_file: str | None = None) -> Dataset:
    """Set every target's ``hard`` flag, from a file if one is given, else by rule.

    The rule: the category's objects cover less than a quarter of the image, and another category is present. The
    published lists follow the same idea; their exact definition is not known to us, so use the file where you have it.

    The file is a CSV with the heading ``image,<category>,…`` and a row of 0 or 1 an image; images may be named with or
    without suffix. A pair that is not in the file counts as difficult, as in TorchRay.
    """
    flags = _read_flags(expanded(flag_file)) if flag_file else None

    def hard(sample: Sample, target: Target) -> bool:
        if flags is not None:
            return flags.get(sample.path.stem, {}).get(target.category, True)
        return len(sample.targets) > 1 and area_share(target) < _LARGE

    samples = [replace(s, targets=tuple(replace(t, hard=hard(s, t)) for t in s.targets)) for s in dataset.samples]
    return replace(dataset, samples=samples, hard_by="file" if flags is not None else "rule")


def _read_flags(path: Path) -> dict[str, dict[str, bool]]:
    if reason := not_a_file(path):
        raise UserError(f"dataset.difficult: {path} {reason}; correct the path")
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"dataset.difficult: {path} cannot be read: {error}") from None
    if not rows or "image" not in rows[0]:
        raise UserError(f"dataset.difficult: {path} must be a CSV with the heading image,<category>,…")
    for number, row in enumerate(rows, 2):
        if any(value not in ("0", "1") for key, value in row.items() if key != "image"):
            raise UserError(f"dataset.difficult: {path}, line {number}: flags are 0 or 1, one for each heading")
    return {Path(row["image"]).stem: {k: v == "1" for k, v in row.items() if k != "image"} for row in rows}
