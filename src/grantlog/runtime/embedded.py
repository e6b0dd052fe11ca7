"""An own PostgreSQL server as a child process, over the binaries of an installation.

It listens on a unix socket only, in a folder that its owner alone may enter, so that `trust` lets
in nobody else. As root it runs as an unprivileged user; it reaches its data through its working
directory (`/proc/self/cwd`), so folders above may stay closed to that user.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote

from grantlog.errors import PreconditionError
from grantlog.runtime.data_dir import DataDir
from grantlog.runtime.os_process import die_with_parent
from grantlog.runtime.postgres_binaries import PostgresBinaries, readable_binaries
from grantlog.runtime.postgres_place import (
    PORT,
    give,
    run_as,
    server_uid,
    socket_folder,
    stop_predecessor,
)

SUPERUSER: Final = "grantlog"
_UNFINISHED: Final = "postgres.unfinished-"
_POLL_S: Final = 0.01
_LOG_BYTES_MAX: Final = 16 * 2**20
_SELF: Final = Path("/proc/self/cwd")


def service_settings(memory_bytes: int) -> dict[str, str]:
    """Settings for serving on a machine with that much memory; the rest is Postgres's default."""
    buffers_mb = max(32, min(256, memory_bytes // 8 // 2**20))
    return {
        "shared_buffers": f"{buffers_mb}MB",
        "max_connections": "150",
        "max_wal_size": "2GB",
        "jit": "off",  # many short statements: compiling one costs more than it gains
        "random_page_cost": "1.1",
        "autovacuum_naptime": "15s",  # head rows are updated by every write
        "log_line_prefix": "%m [%p] ",
        "log_timezone": "UTC",
        "timezone": "UTC",
    }


def machine_memory_bytes() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """A server that accepts connections; `embedded_postgres` made it."""

    process: Process
    socket_folder: Path
    log: Path

    def dsn(self, database: str) -> str:
        """Where asyncpg and libpq find a database of this server."""
        return dsn_of(self.socket_folder, database)

    async def exited(self) -> int:
        """Wait until the server is gone; its exit code, negative for a signal."""
        return await self.process.wait()


def dsn_of(socket_folder: Path, database: str) -> str:
    """The address of a database behind a socket."""
    return f"postgresql://{SUPERUSER}@/{quote(database)}?host={quote(str(socket_folder))}"


@contextlib.asynccontextmanager
async def embedded_postgres(
    data_dir: DataDir,
    binaries: PostgresBinaries,
    settings: Mapping[str, str],
    *,
    socket_parent: Path | None = None,
) -> AsyncGenerator[EmbeddedPostgres]:
    """Run a server over `data_dir.postgres`, made first if it is missing, while the block runs.

    What an earlier, killed process left running over the same data is stopped first. Call it in
    the main thread: the server dies with the thread that started it.

    Raises:
        PreconditionError: the cluster cannot be made or started; the text has Postgres's reason.
        UnavailableError: a predecessor does not end.
    """
    uid = server_uid(data_dir.postgres)
    binaries = readable_binaries(binaries, uid)
    with socket_folder(data_dir.path, uid, socket_parent) as folder:
        await stop_predecessor(data_dir.postgres)
        if not (data_dir.postgres / "PG_VERSION").exists():
            await _make_cluster(data_dir, binaries, uid)
        server = await _start(data_dir, binaries, settings, folder, uid)
        try:
            yield server
        finally:
            await _stop(server.process)


async def _make_cluster(data_dir: DataDir, binaries: PostgresBinaries, uid: int) -> None:
    """Make the cluster under another name and rename it when it is whole."""
    for leftover in data_dir.path.glob(f"{_UNFINISHED}*"):
        # An initdb whose parent was killed may still be ending there: what stays is in nobody's
        # way, and the next start tries again.
        shutil.rmtree(leftover, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=data_dir.path))
    give(fresh, uid)
    process = await asyncio.create_subprocess_exec(
        binaries.folder / "initdb",
        *("-D", str(_as_seen_by_server(fresh)), "-U", SUPERUSER),
        *("--auth=trust", "--locale=C", "--encoding=UTF8", "--no-instructions"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        preexec_fn=die_with_parent(signal.SIGTERM),
        start_new_session=True,
        **run_as(uid, fresh),
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.terminate()
        raise
    if process.returncode != 0:
        raise PreconditionError(
            f"the database in {data_dir.path} could not be made: {_reason(output)}"
        )
    _accept(fresh, data_dir)


def _accept(fresh: Path, data_dir: DataDir) -> None:
    """Give a whole cluster its name, for good."""
    fresh.rename(data_dir.postgres)
    descriptor = os.open(data_dir.path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def _start(
    data_dir: DataDir,
    binaries: PostgresBinaries,
    settings: Mapping[str, str],
    folder: Path,
    uid: int,
) -> EmbeddedPostgres:
    flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    cluster = data_dir.postgres
    with _opened_log(data_dir.postgres_log) as log:
        begin = log.tell()
        process = await asyncio.create_subprocess_exec(
            binaries.folder / "postgres",
            *("-D", str(_as_seen_by_server(cluster)), "-h", "", "-k", str(folder)),
            *("-p", str(PORT), *flags),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent(signal.SIGINT),
            start_new_session=True,  # Ctrl-C is for the supervisor: the services drain first
            **run_as(uid, cluster),
        )
    try:
        while process.returncode is None and not _accepts_connections(cluster, process.pid):  # noqa: ASYNC110 - only its pid file tells
            await asyncio.sleep(_POLL_S)
    except BaseException:
        await _stop(process)
        raise
    if process.returncode is not None:
        output = data_dir.postgres_log.read_bytes()[begin:]
        raise PreconditionError(f"Postgres does not start: {_reason(output)}")
    return EmbeddedPostgres(process, folder, data_dir.postgres_log)


def _accepts_connections(cluster: Path, pid: int) -> bool:
    """The last line of the pid file says it, as pg_ctl reads it too."""
    try:
        lines = (cluster / "postmaster.pid").read_text().split("\n")
    except FileNotFoundError:
        return False
    return lines[0] == str(pid) and len(lines) > 7 and lines[7].strip() == "ready"  # noqa: PLR2004 - its eighth line


async def _stop(process: Process) -> None:
    """Fast shutdown: transactions abort, a checkpoint is written. Cancelled, it is cut short."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        await process.wait()
    except asyncio.CancelledError:
        process.send_signal(signal.SIGQUIT)
        raise


def _as_seen_by_server(cluster: Path) -> Path:
    """The cluster's path for a process that runs in it, even below folders closed to its user."""
    return _SELF if sys.platform.startswith("linux") else cluster


def _opened_log(path: Path) -> BinaryIO:
    if path.exists() and path.stat().st_size > _LOG_BYTES_MAX:
        path.replace(path.with_name(path.name + ".1"))
    return path.open("ab")


def _reason(output: bytes) -> str:
    """The last line that names an error, else the last line."""
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "FATAL:" in line or "error:" in line or "ERROR:" in line]
    return (errors or lines or ["it said nothing"])[-1].strip()
