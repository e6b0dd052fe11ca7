"""Pools of connections, set up so that nothing here waits for ever or plans by chance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from types import CoroutineType, MappingProxyType
from typing import Any, Final, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from grantlog.store.postgres.connecting import SOME, connect_error
from grantlog.store.postgres.driver_errors import DRIVER_ERRORS, translated

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Setup: TypeAlias = "Callable[[asyncpg.Connection[asyncpg.Record]], CoroutineType[Any, Any, None]]"

INDEX_PLANS: Final[Mapping[str, str]] = MappingProxyType(
    {
        # Every statement of ours reaches rows by a key. One plan, made once, that must not depend
        # on what the tables held in the minute it was made (a plan from an empty table scans it).
        "plan_cache_mode": "force_generic_plan",
        "enable_seqscan": "off",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "enable_material": "off",
        "max_parallel_workers_per_gather": "0",
    }
)
"""Settings for connections whose statements are all nested loops over keys (`apply_rows`)."""

CONNECT_TIMEOUT_S: Final = 5.0
CLOSE_TIMEOUT_S: Final = 10.0
QUERIES_PER_CONNECTION_MAX: Final = 10_000_000


@asynccontextmanager
async def open_pool(  # noqa: PLR0913 - options by name, and each has its default
    dsn: str,
    *,
    size_max: int,
    application_name: str,
    command_timeout_s: float = 30.0,
    statement_cache_size: int = 200,
    settings: Mapping[str, str] = MappingProxyType({}),
    on_connect: Setup | None = None,
    lazy: bool = False,
    whose: str = SOME,
) -> AsyncGenerator[Pool]:
    """A pool whose first connection stands, unless it is lazy; it closes when the block ends.

    Releasing a connection costs no round trip: whoever changes a session's state must undo it.

    Args:
        dsn: where to connect.
        size_max: connections at most.
        application_name: what the server shows of us.
        command_timeout_s: seconds a statement may take.
        statement_cache_size: prepared statements a connection keeps; 0 behind a transaction pooler.
        settings: further session settings, such as `INDEX_PLANS`.
        on_connect: runs on every new connection before anyone gets it.
        lazy: connect when somebody asks: the server may be away at the start.
        whose: whose database it is, for errors: `connecting.THE_PRIMARY`.

    Raises:
        UnavailableError: the server does not answer.
        PreconditionError: it refuses the user, the password or the database.
    """
    pool = asyncpg.create_pool(
        dsn,
        min_size=0 if lazy else 1,
        max_size=size_max,
        max_queries=QUERIES_PER_CONNECTION_MAX,
        max_inactive_connection_lifetime=300.0,
        init=on_connect,
        reset=_keep,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=command_timeout_s,
        statement_cache_size=statement_cache_size,
        max_cached_statement_lifetime=0,
        server_settings=session_settings(application_name, settings),
    )
    try:
        await pool
    except (*DRIVER_ERRORS, ValueError) as error:
        pool.terminate()
        raise connect_error(error, dsn, whose) from error
    try:
        yield pool
    finally:
        await _close_pool(pool)


@asynccontextmanager
async def connect(
    dsn: str,
    *,
    application_name: str,
    settings: Mapping[str, str] = MappingProxyType({}),
    whose: str = SOME,
) -> AsyncGenerator[asyncpg.Connection[asyncpg.Record]]:
    """One connection outside any pool, without a limit on statements; errors as `open_pool`.

    LISTEN and session locks need a connection of their own, migrations need time.
    """
    try:
        connection = await asyncpg.connect(
            dsn,
            timeout=CONNECT_TIMEOUT_S,
            server_settings=session_settings(application_name, settings),
        )
    except (*DRIVER_ERRORS, ValueError) as error:
        raise connect_error(error, dsn, whose) from error
    try:
        yield connection
    finally:
        await _close(connection)


@asynccontextmanager
async def acquired(
    pool: Pool, *, doing: str, timeout_s: float = CONNECT_TIMEOUT_S
) -> AsyncGenerator[Connection]:
    """A connection of the pool, within `timeout_s`; errors of the driver become ours."""
    try:
        async with lent(pool, timeout_s=timeout_s) as connection:
            yield connection
    except DRIVER_ERRORS as error:
        raise translated(error, doing) from error


@asynccontextmanager
async def lent(pool: Pool, *, timeout_s: float = CONNECT_TIMEOUT_S) -> AsyncGenerator[Connection]:
    """A connection of the pool, within `timeout_s`, with the driver's own errors.

    Whoever is cancelled while a server hangs gives the connection back in vain, and the driver says
    that as a timeout: a loop that goes on after those would never hear that it is to end.
    """
    before = _cancellations()
    try:
        async with pool.acquire(timeout=timeout_s) as connection:
            yield connection
    except DRIVER_ERRORS as error:
        if _cancellations() > before:
            raise asyncio.CancelledError from error
        raise


def _cancellations() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


def discard(connection: Connection) -> None:
    """End a connection whose state is unknown; one that the pool gave up already is no error."""
    with suppress(asyncpg.InterfaceError):
        connection.terminate()


def session_settings(application_name: str, settings: Mapping[str, str]) -> dict[str, str]:
    """The settings every session of ours starts with, and `settings` over them."""
    return {
        "application_name": application_name,
        "jit": "off",
        "timezone": "UTC",
        "client_encoding": "UTF8",
        **settings,
    }


async def _keep(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Reset nothing: our sessions keep no state between uses (asyncpg still ends transactions)."""


async def _close_pool(pool: Pool) -> None:
    """Close, and end what is still in use after a while rather than wait for it for ever."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await pool.close()
    except DRIVER_ERRORS:
        pool.terminate()


async def _close(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    try:
        await connection.close(timeout=CONNECT_TIMEOUT_S)
    except DRIVER_ERRORS:
        connection.terminate()
