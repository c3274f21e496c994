"""Environment variables and the home folder in paths that a user gives."""

import os
import re
from pathlib import Path
from typing import Any

from reciprocam_bench.errors import UserError


def fill_environment(value: Any) -> Any:
    """Replace ``${NAME}`` in a string by the environment variable; an unset one is a ``UserError``."""
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        name = match[1]
        if not os.environ.get(name):
            raise UserError(f"{value}: the environment variable {name} is not set; export {name}=/path/to/data")
        return os.environ[name]

    return re.sub(r"\$\{(\w+)\}", variable, value)


def expanded(path: str | os.PathLike[str]) -> Path:
    """With ``~`` as the home folder, which a shell leaves as it is behind ``--output=`` and in a config."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - a user that there is not is a name like any other
