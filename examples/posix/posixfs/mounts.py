"""What a mount decides over the heads of mode bits."""

from __future__ import annotations

import os


def refuses_execution(root: str | os.PathLike[str]) -> bool:
    """Whether the file system of `root` is mounted noexec: access(2) denies executing its files."""
    return bool(os.statvfs(root).f_flag & os.ST_NOEXEC)
