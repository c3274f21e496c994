"""Only regular files are opened: a pipe would hang whoever reads it, and a device may never end."""

import stat
from pathlib import Path


def not_a_file(path: str | Path) -> str:
    """Why ``path`` must not be opened, in words that follow its name; empty for a regular file or a link to one."""
    try:
        mode = Path(path).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist"
    except (OSError, ValueError) as error:  # ValueError: a name that no file system takes
        return f"cannot be read: {getattr(error, 'strerror', error)}"
    if stat.S_ISREG(mode):
        return ""
    return "is a folder" if stat.S_ISDIR(mode) else "is no regular file (a pipe, socket or device)"
