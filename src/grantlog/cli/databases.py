"""The databases a command works on: given by address, or of the embedded server."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from grantlog.errors import PreconditionError
from grantlog.runtime.data_dir import DataDir, check_format, claimed
from grantlog.runtime.embedded import (
    EmbeddedPostgres,
    dsn_of,
    embedded_postgres,
    machine_memory_bytes,
    service_settings,
)
from grantlog.runtime.postgres_binaries import find_binaries
from grantlog.store.postgres.pool import connect

PRIMARY: Final = "grantlog"
REPLICA: Final = "grantlog_replica"
_SOCKET_LINE: Final = 4
"""Line of the server's pid file, from 0, that names its socket's folder."""


@dataclass(frozen=True, slots=True)
class Databases:
    """Addresses of the primary and, if there is one, of the replica."""

    primary: str
    replica: str | None


@contextlib.asynccontextmanager
async def served_cluster(
    data_dir: DataDir, pg_bin: Path | None
) -> AsyncGenerator[EmbeddedPostgres]:
    """Run the embedded server of a claimed data directory while the block runs.

    Raises:
        PreconditionError: no Postgres for this platform, another version's data, no start.
    """
    binaries = find_binaries(pg_bin)
    check_format(data_dir, binaries.major)
    settings = service_settings(machine_memory_bytes())
    async with embedded_postgres(data_dir, binaries, settings) as server:
        yield server


async def ensure_database(server: EmbeddedPostgres, name: str) -> str:
    """The address of a database of the server, made if it is missing."""
    async with connect(server.dsn("postgres"), application_name="grantlog serve") as connection:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            await connection.execute(f'CREATE DATABASE "{name}"')  # one of our two constants
    return server.dsn(name)


async def _has_database(server_dsn: str, name: str) -> bool:
    async with connect(server_dsn, application_name="grantlog") as connection:
        found: object = await connection.fetchval(
            "SELECT 1 FROM pg_database WHERE datname = $1", name
        )
    return bool(found)


@contextlib.asynccontextmanager
async def reached_databases(
    database_url: str | None, replica_url: str | None, data_dir: Path, pg_bin: Path | None
) -> AsyncGenerator[Databases]:
    """The databases for a command beside the service, while the block runs.

    Without an address these are the embedded server's: the running one's, or one started for the
    block.

    Raises:
        PreconditionError: there is no such data directory, or it cannot be used.
    """
    if database_url:
        yield Databases(database_url, replica_url)
        return
    if not (data_dir / "grantlog.json").exists():
        raise PreconditionError(
            f"{data_dir} is not a data directory of grantlog: name one with --data-dir, "
            "or a database with --database-url"
        )
    async with contextlib.AsyncExitStack() as stack:
        folder = _running_socket(data_dir)
        try:
            claim = stack.enter_context(claimed(data_dir))
        except PreconditionError:
            if folder is None:
                raise
        else:
            server = await stack.enter_async_context(served_cluster(claim, pg_bin))
            folder = server.socket_folder
        has_replica = await _has_database(dsn_of(folder, "postgres"), REPLICA)
        embedded_replica = dsn_of(folder, REPLICA) if has_replica else None
        yield Databases(dsn_of(folder, PRIMARY), replica_url or embedded_replica)


def _running_socket(data_dir: Path) -> Path | None:
    """The folder of the socket that the pid file names, if there is one."""
    try:
        text = (DataDir(data_dir.resolve()).postgres / "postmaster.pid").read_text()
    except OSError:
        return None
    lines = text.split("\n")
    return Path(lines[_SOCKET_LINE]) if len(lines) > _SOCKET_LINE else None
