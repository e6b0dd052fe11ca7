"""The data directory of `grantlog serve`: whose it is, which version made it, who uses it now.

<data-dir>/grantlog.json    what made it: the format of this folder, Postgres's major version
           postgres/        the embedded server's cluster, owned by the user it runs as
           postgres.log     the server's log; postgres.log.1 is the one before
           run/             identities of running processes, for the start after a crash
           lock             held by the process that uses the folder
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from grantlog.errors import PreconditionError

FORMAT: Final = 1
"""Raised when an older grantlog could not use the folder any more."""


@dataclass(frozen=True, slots=True)
class DataDir:
    """The paths of a claimed data directory."""

    path: Path

    @property
    def marker(self) -> Path:
        """What made the folder."""
        return self.path / "grantlog.json"

    @property
    def postgres(self) -> Path:
        """The cluster."""
        return self.path / "postgres"

    @property
    def postgres_log(self) -> Path:
        """The server's log."""
        return self.path / "postgres.log"

    @property
    def run(self) -> Path:
        """Identities of running processes."""
        return self.path / "run"

    @property
    def lock(self) -> Path:
        """Held while the folder is in use."""
        return self.path / "lock"


@contextlib.contextmanager
def claimed(path: Path) -> Generator[DataDir]:
    """Hold a data directory, made if it is missing, until the block ends or the process dies.

    Raises:
        PreconditionError: not writable, in use, something else's folder, or of another version.
    """
    data_dir = DataDir(Path(os.path.realpath(path)))
    try:
        data_dir.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_foreign(data_dir)
        descriptor = os.open(data_dir.lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise PreconditionError(
            f"the data directory {path} cannot be written ({error.strerror}): "
            "choose another one with --data-dir"
        ) from error
    try:
        _take(descriptor, data_dir)
        data_dir.run.mkdir(mode=0o700, exist_ok=True)
        yield data_dir
    finally:
        os.close(descriptor)


def check_format(data_dir: DataDir, postgres_major: int) -> None:
    """Refuse a folder that another version made; leave a mark in one that has none.

    Raises:
        PreconditionError: another format, or a cluster of another major version of Postgres.
    """
    made_by = _read_marker(data_dir)
    if made_by is None:
        version = data_dir.postgres / "PG_VERSION"
        made = int(version.read_text()) if version.exists() else postgres_major
        made_by = {"format": FORMAT, "postgres_major": made}
        _write_marker(data_dir, made_by)
    if made_by["format"] != FORMAT:
        raise PreconditionError(
            f"the data directory {data_dir.path} has format {made_by['format']}, this version of "
            f"grantlog uses format {FORMAT}: serve it with the version that made it"
        )
    if made_by["postgres_major"] != postgres_major:
        raise PreconditionError(
            f"the data directory {data_dir.path} belongs to Postgres {made_by['postgres_major']}, "
            f"this installation brings Postgres {postgres_major}: serve it with the version that "
            "made it, or move the data with pg_dump and pg_restore"
        )


def _refuse_foreign(data_dir: DataDir) -> None:
    """A mistyped --data-dir must not fill somebody's home."""
    ours = {"grantlog.json", "lock", "run", "lost+found"}
    names = {entry.name for entry in data_dir.path.iterdir()}
    if "lock" not in names and "grantlog.json" not in names and names - ours:
        raise PreconditionError(
            f"{data_dir.path} holds other files and no grantlog.json: "
            "it is not a data directory of grantlog; choose another one with --data-dir"
        )


def _take(descriptor: int, data_dir: DataDir) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
        raise PreconditionError(
            f"the data directory {data_dir.path} is in use by another grantlog "
            f"(pid {holder}): stop that one, or choose another folder with --data-dir"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def _read_marker(data_dir: DataDir) -> dict[str, int] | None:
    try:
        read: object = json.loads(data_dir.marker.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        read = None
    if isinstance(read, dict):
        members = cast("dict[str, object]", read)
        found = {key: members.get(key) for key in ("format", "postgres_major")}
        numbers = {key: value for key, value in found.items() if isinstance(value, int)}
        if len(numbers) == len(found):
            return numbers
    raise PreconditionError(
        f"{data_dir.marker} does not say what made this data directory: "
        "another version of grantlog wrote it, or it is damaged"
    )


def _write_marker(data_dir: DataDir, made_by: dict[str, int]) -> None:
    fresh = data_dir.marker.with_suffix(".tmp")
    with fresh.open("w") as file:
        file.write(json.dumps(made_by) + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(data_dir.marker)
