"""Real streaming replication: a server of one's own, and standbys that follow it.

Fixtures; import them in a conftest or a test module.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from grantlog.runtime.data_dir import DataDir
from grantlog.runtime.embedded import (
    SUPERUSER,
    EmbeddedPostgres,
    embedded_postgres,
    service_settings,
)
from grantlog.runtime.postgres_binaries import find_binaries, readable_binaries
from grantlog.runtime.postgres_place import PORT, server_uid
from grantlog.store.postgres.migrate import migrate
from tests.waiting import until

_FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "max_standby_streaming_delay": "10ms",
    "wal_receiver_status_interval": "1s",
    "checkpoint_timeout": "1h",
    # What it cleans up cancels a standby's reads, at any moment.
    "autovacuum": "off",
}
_TEMPLATE = "migrated"
_numbers = count(1)


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder that any user may pass through; removed afterwards."""
    made = Path(tempfile.mkdtemp(prefix="grantlog-standby-", dir="/tmp"))
    made.chmod(0o755)
    try:
        yield made.resolve()
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextlib.asynccontextmanager
async def own_server(place: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A server over `place`, made there if it is empty; started again with what it holds."""
    binaries = find_binaries()
    settings = service_settings(2**28) | _FAST
    async with embedded_postgres(DataDir(place), binaries, settings) as server:
        yield server


async def copy_cluster(server: EmbeddedPostgres, place: Path) -> None:
    """Take a base backup of a running server into `place`, as a standby of it."""
    cluster = DataDir(place).postgres
    uid = server_uid(cluster)
    binaries = readable_binaries(find_binaries(), uid)
    cluster.mkdir()
    if uid != os.geteuid():
        os.chown(cluster, uid, pwd.getpwuid(uid).pw_gid)
    as_owner = {"user": uid} if uid != os.geteuid() else {}
    process = await asyncio.create_subprocess_exec(
        binaries.folder / "pg_basebackup",
        *("-h", str(server.socket_folder), "-p", str(PORT), "-U", SUPERUSER, "-D", str(cluster)),
        *("-R", "-X", "stream", "-c", "fast", "--no-sync"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd="/",
        **as_owner,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    cluster.chmod(0o700)


@dataclass
class Standby:
    """A standby that runs, and what a test does to it."""

    server: EmbeddedPostgres
    place: Path

    def dsn(self, of: str) -> str:
        """The address of the copy of a database of the primary, whose address is given."""
        name = of.partition("@/")[2].partition("?")[0]
        return self.server.dsn(name)

    async def run(self, statement: str) -> object:
        """One statement, as the superuser."""
        return await run(self.server.dsn("postgres"), statement)

    async def pause(self) -> None:
        """Receive what the primary writes and replay nothing of it."""
        await self.run("SELECT pg_wal_replay_pause()")
        await until(lambda: self._says("SELECT pg_get_wal_replay_pause_state() = 'paused'"))

    async def resume(self) -> None:
        """Replay again."""
        await self.run("SELECT pg_wal_replay_resume()")

    async def promote(self) -> None:
        """Become a primary of its own."""
        assert await self.run("SELECT pg_promote()")

    async def kill(self) -> None:
        """As kill -9 of every process of it: nothing is written any more."""
        self._signal(signal.SIGKILL)  # sessions would still answer for a moment
        await self.server.exited()

    def freeze(self) -> None:
        """Stop all of its processes where they are: connections stand, nobody answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, signum: int) -> None:
        main = self.server.process.pid
        for pid in [main, *children_of(main)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)

    async def catch_up(self, primary: str) -> None:
        """Wait until it holds all that its primary has committed by now, not what comes later."""
        end = await run(primary, "SELECT pg_current_wal_flush_lsn()::text")
        replayed = f"SELECT pg_last_wal_replay_lsn() >= '{end}'::pg_lsn"
        await until(lambda: self._says(replayed), within_s=60)

    async def _says(self, statement: str) -> bool:
        return await self.run(statement) is True


def children_of(pid: int) -> list[int]:
    """The processes that a process started."""
    return [
        int(stat.parent.name)
        for stat in Path("/proc").glob("[0-9]*/stat")
        if stat.exists() and int(stat.read_text().rpartition(")")[2].split()[1]) == pid
    ]


async def run(dsn: str, statement: str) -> object:
    """The first value of a statement over a connection of its own."""
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def standby_of(server: EmbeddedPostgres) -> AsyncIterator[Standby]:
    """A standby of a running server, for the block."""
    with folder() as place:
        await copy_cluster(server, place)
        async with own_server(place) as standby:
            yield Standby(standby, place)


@pytest.fixture(scope="session")
def streaming_server() -> Iterator[EmbeddedPostgres]:
    """A primary for all tests with standbys; databases of their own keep them apart."""
    with (
        folder() as place,
        asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner,
    ):
        stack = contextlib.AsyncExitStack()
        server = runner.run(stack.enter_async_context(own_server(place)))
        try:
            yield server
        finally:
            runner.run(stack.aclose())


@pytest.fixture
async def streamed_database(
    streaming_server: EmbeddedPostgres,
) -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """A factory of migrated databases of that primary: `await streamed_database(seed=False)`."""
    made: list[str] = []

    async def make(*, seed: bool = True) -> str:
        made.append(await _new_database(streaming_server, seed=seed))
        return made[-1]

    yield make
    for dsn in made:
        name = dsn.partition("@/")[2].partition("?")[0]
        await run(
            streaming_server.dsn("postgres"), f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'
        )


async def _new_database(server: EmbeddedPostgres, *, seed: bool) -> str:
    dsn = server.dsn("postgres")
    if not await run(dsn, f"SELECT 1 FROM pg_database WHERE datname = '{_TEMPLATE}'"):
        await run(dsn, f"CREATE DATABASE {_TEMPLATE}")
        await migrate(server.dsn(_TEMPLATE), seed=False)
        await run(server.dsn(_TEMPLATE), "DELETE FROM meta")  # some become primaries
    name = f"streamed_{os.getpid()}_{next(_numbers)}"
    await run(dsn, f'CREATE DATABASE "{name}" TEMPLATE {_TEMPLATE}')
    if seed:
        await migrate(server.dsn(name), seed=True)
    return server.dsn(name)


@pytest.fixture(scope="session")
def shared_databases(streaming_server: EmbeddedPostgres) -> tuple[str, str]:
    """A primary's database there, and one to project into; `emptied` resets them."""

    async def make() -> tuple[str, str]:
        return (
            await _new_database(streaming_server, seed=True),
            await _new_database(streaming_server, seed=False),
        )

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(make())


async def emptied(dsn: str) -> None:
    """Take all tenants out of a database, as if none had ever been written."""
    await run(
        dsn,
        "TRUNCATE heads, tenants, transactions, schemas, bundles, relation_tuples, attributes, "
        "relation_tuples_history, attributes_history, dead_lives, epoch_heads",
    )


@pytest.fixture
async def new_standby(
    streaming_server: EmbeddedPostgres,
) -> AsyncIterator[Callable[[], Awaitable[Standby]]]:
    """A factory of standbys of that primary: `await new_standby()`, which then has caught up."""
    async with contextlib.AsyncExitStack() as stack:

        async def make() -> Standby:
            standby = await stack.enter_async_context(standby_of(streaming_server))
            await standby.catch_up(streaming_server.dsn("postgres"))
            return standby

        yield make


@pytest.fixture(scope="session")
def shared_standby(streaming_server: EmbeddedPostgres) -> Iterator[Standby]:
    """A standby of that primary for tests that leave it as it is."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        stack = contextlib.AsyncExitStack()
        standby = runner.run(stack.enter_async_context(standby_of(streaming_server)))
        try:
            yield standby
        finally:
            runner.run(stack.aclose())
