"""Environment variables in the paths of a config."""

import os
import re
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
