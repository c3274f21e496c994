"""YAML files that people write: a mapping, or one line that says what is wrong."""

from pathlib import Path
from typing import Any

import yaml

from reciprocam_bench.errors import UserError
from reciprocam_bench.regular import not_a_file


def read_yaml(path: Path, what: str = "a config") -> dict[str, Any]:
    """Read a YAML mapping, ``what`` it should be; anything else is a ``UserError``."""
    if reason := not_a_file(path):
        raise UserError(f"{path} {reason}; give a YAML file")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:  # 2024-13-45 is a ValueError: no such date
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not readable as YAML: {reason}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: {what} is a mapping of keys to values; this file is not one")
    return data
