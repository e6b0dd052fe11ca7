"""Fixtures and reports that every tier shares."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from hypothesis import HealthCheck, settings

from grantlog.runtime.data_dir import DataDir
from grantlog.runtime.embedded import embedded_postgres, service_settings
from grantlog.runtime.postgres_binaries import find_binaries
from grantlog.store.postgres.migrate import migrate

pytest_plugins = ["tests.tiers", "tests.kafka"]

# Before gRPC is loaded: its handlers for fork() trip over its own threads, in the children that
# this run starts. Nobody forks to go on with gRPC in the child.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"  # noqa: TID251 - the run's own setting
from grpc.aio import init_grpc_aio  # noqa: E402 - behind the setting that it reads

# Everyone's runs look for new examples; CI's repeats the same ones, so that a change is judged by
# what it changed. What a run at a desk finds becomes a test of its own.
settings.register_profile("desk", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("desk"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")  # noqa: TID251 - the run's own

# Nothing in a test survives a power cut anyway.
_FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "128MB",
}


def of_database(url: str, database: str) -> str:
    """The DSN of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


@pytest.fixture(scope="session", autouse=True)
def grpc_stays_up() -> None:
    """Keep gRPC's poller for the whole run.

    It would end with the last channel or server, wherever the garbage collector happens to find
    that one, and wait there, for ever if a call that was cut has an operation open.
    """
    init_grpc_aio()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The DSN of a server for the whole run: GRANTLOG_TEST_POSTGRES, or an embedded one."""
    configured = os.environ.get("GRANTLOG_TEST_POSTGRES")  # noqa: TID251 - the run's own setting
    if configured:
        yield configured
        return
    with (
        tempfile.TemporaryDirectory(prefix="grantlog-test-", dir="/tmp") as folder,
        asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner,
    ):
        stack = contextlib.AsyncExitStack()
        settings = service_settings(2**30) | _FAST
        server = embedded_postgres(DataDir(Path(folder).resolve()), find_binaries(), settings)
        entered = runner.run(stack.enter_async_context(server))
        try:
            yield entered.dsn("postgres")
        finally:
            runner.run(stack.aclose())


_numbers = count(1)


@pytest.fixture
async def fresh_database(postgres_url: str) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    """A factory of new, empty databases: `await fresh_database()` -> DSN; dropped afterwards."""
    made: list[str] = []

    async def make() -> str:
        name = f"test_{os.getpid()}_{next(_numbers)}"
        await _execute(postgres_url, f'CREATE DATABASE "{name}"')
        made.append(name)
        return of_database(postgres_url, name)

    yield make
    for name in made:
        await _execute(postgres_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture
def migrated_database(
    fresh_database: Callable[[], Awaitable[str]],
) -> Callable[..., Awaitable[str]]:
    """A factory of migrated databases; `await migrated_database(seed=False)` for a replica's."""

    async def make(*, seed: bool = True) -> str:
        url = await fresh_database()
        await migrate(url, seed=seed)
        return url

    return make


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
