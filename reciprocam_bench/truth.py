"""``true`` and ``false`` are no numbers, though Python takes them for 1 and 0."""

from typing import Any, get_args


def refuse_truth(annotation: Any, value: Any) -> None:
    """Raise ``ValueError`` for a truth value, alone or in a list, where numbers are annotated and truth values not."""
    found = next((v for v in (value if isinstance(value, list) else [value]) if isinstance(v, bool)), None)
    if found is not None and not _names(annotation, bool) and (_names(annotation, int) or _names(annotation, float)):
        raise ValueError(f"give a number, not {str(found).lower()}")


def _names(annotation: Any, kind: type) -> bool:
    return annotation is kind or any(_names(part, kind) for part in get_args(annotation))
