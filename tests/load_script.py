"""Files of scripts/ as modules, for their tests."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


def load_script(name: str) -> ModuleType:
    """The file of that name, loaded anew; it finds the files beside it, as it does when it is run."""
    if str(SCRIPTS) not in sys.path:
        sys.path.append(str(SCRIPTS))
    sys.modules.pop(name, None)
    return importlib.import_module(name)
