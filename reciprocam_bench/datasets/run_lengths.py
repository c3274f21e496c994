"""COCO's run lengths, checked before pycocotools reads them: it takes any bytes, and fills a mask with rubbish."""

from typing import Any


def check_run_lengths(segmentation: dict[str, Any], width: int, height: int) -> None:
    """Raise ``ValueError`` unless the runs are whole numbers from 0 on that fill an image of this size exactly."""
    counts = segmentation.get("counts")
    runs = _unpacked(counts) if isinstance(counts, str | bytes) else counts
    if not isinstance(runs, list) or not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in runs):
        raise ValueError("its run lengths are no whole numbers from 0 on")
    if sum(runs) != width * height:
        raise ValueError(f"its run lengths fill {sum(runs):,} pixels, the image has {width * height:,}")


def _unpacked(counts: str | bytes) -> list[int]:
    """The numbers of a packed text: 5 bits a letter, the sixth says that more follow; from the fourth, differences."""
    runs: list[int] = []
    value = shift = 0
    for letter in counts.encode() if isinstance(counts, str) else counts:
        bits = letter - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError("its run lengths are not packed as COCO packs them")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("its run lengths are cut off")
    return runs
