"""Files that are named on the command line."""

from __future__ import annotations

from pathlib import Path

from grantlog.errors import NotFoundError


def unreadable(file: Path, error: OSError) -> NotFoundError:
    """Why a file cannot be read, in words."""
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return NotFoundError(f"there is no file {file}")
        case IsADirectoryError():
            return NotFoundError(f"{file} is a folder: name a file")
        case PermissionError():
            return NotFoundError(f"{file} may not be read by this user")
        case _:
            return NotFoundError(f"{file} cannot be read: {error.strerror or error}")
