"""Walking a real tree into entries, with a count of what was left out and why."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

_ACL: Final = "system.posix_acl_access"
MODE_BITS: Final = 0o7777


class Entry(NamedTuple):
    """A directory or regular file; a hard link is an entry per path."""

    path: bytes
    is_directory: bool
    mode: int
    uid: int
    gid: int

    @property
    def parent(self) -> bytes | None:
        """The directory it lies in; None for `/`."""
        return None if self.path == b"/" else self.path.rpartition(b"/")[0] or b"/"

    @property
    def depth(self) -> int:
        """How many directories lie above it."""
        return 0 if self.path == b"/" else self.path.count(b"/")


@dataclass
class Skipped:
    """What a walk left out: counts by reason, and the paths that need a person's eye."""

    counts: Counter[str] = field(default_factory=Counter[str])
    notable: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])

    def add(self, reason: str, path: bytes, *, notable: bool = False) -> None:
        """Count one entry; `notable` ones are remembered by path."""
        self.counts[reason] += 1
        if notable:
            self.notable.append((reason, path))


def walk(root: str | os.PathLike[str], skipped: Skipped) -> Iterator[Entry]:
    """Every directory and regular file from `/` down to `root` and below it, parents first.

    Left out, and counted in `skipped`: symbolic links, sockets, pipes and devices; what cannot be
    read; directories of another file system; and whatever has an access control list, because its
    mode bits no longer say who may do what. Nothing below a directory that is left out is walked.
    """
    top = os.fsencode(os.path.realpath(root))
    status = os.lstat(top)
    for path in _ancestors(top):
        entry = _entry(path, os.lstat(path), skipped)
        if entry is None:
            return
        yield entry
    first = _entry(top, status, skipped)
    if first is None:
        return
    yield first
    pending = [top] if first.is_directory else []
    while pending:
        for entry in _children(pending.pop(), status.st_dev, skipped):
            yield entry
            if entry.is_directory:
                pending.append(entry.path)


def _ancestors(path: bytes) -> Iterator[bytes]:
    """`/`, `/a`, `/a/b` for `/a/b/c`; none for `/`."""
    for end, byte in enumerate(path):
        if byte == ord("/") and path != b"/":
            yield path[:end] or b"/"


def _children(directory: bytes, device: int, skipped: Skipped) -> Iterator[Entry]:
    try:
        with os.scandir(directory) as found:
            children = sorted(found, key=lambda child: child.name)
    except OSError:
        skipped.add("unreadable directory", directory, notable=True)
        return
    for child in children:
        try:
            status = child.stat(follow_symlinks=False)
        except OSError:
            skipped.add("unreadable", child.path, notable=True)
            continue
        if stat.S_ISDIR(status.st_mode) and status.st_dev != device:
            skipped.add("other file system", child.path)
        elif (entry := _entry(child.path, status, skipped)) is not None:
            yield entry


def _entry(path: bytes, status: os.stat_result, skipped: Skipped) -> Entry | None:
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFLNK:
        skipped.add("symbolic link", path)
    elif kind not in (stat.S_IFDIR, stat.S_IFREG):
        skipped.add("special file", path)
    elif _has_acl(path):
        skipped.add("access control list", path, notable=True)
    else:
        mode = status.st_mode & MODE_BITS
        return Entry(path, kind == stat.S_IFDIR, mode, status.st_uid, status.st_gid)
    return None


def _has_acl(path: bytes) -> bool:
    try:
        return _ACL in os.listxattr(path, follow_symlinks=False)
    except OSError:  # no extended attributes here, hence no lists
        return False
