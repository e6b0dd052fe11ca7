"""Connections to the primary: each has proven, before anyone uses it, which log it writes to."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from grantlog.store.postgres.driver_errors import translating
from grantlog.store.postgres.epoch import ensure_epoch
from grantlog.store.postgres.migrate import check_schema_range
from grantlog.store.postgres.pool import INDEX_PLANS, Pool, open_pool
from grantlog.store.postgres.statements import load

_DURABLE: Final = load("epoch")["durable"]

_PATIENCE: Final = {
    "lock_timeout": "10s",
    # A node that dies within a transaction may not hold its tenants' heads for longer than this.
    "idle_in_transaction_session_timeout": "10s",
}


@asynccontextmanager
async def open_primary_pool(
    dsn: str,
    *,
    size_max: int,
    application_name: str,
    statement_cache_size: int = 200,
) -> AsyncGenerator[Pool]:
    """A pool for writing, heads, schemas and tenants.

    Each new connection checks the database's shape, opens an epoch if the server is another one
    than the log knows, and commits durably whatever the server's default.

    Raises:
        UnavailableError: the server does not answer, or is no primary.
        PreconditionError: not migrated, a newer version's database, or access refused.
    """
    async with open_pool(
        dsn,
        size_max=size_max,
        application_name=application_name,
        statement_cache_size=statement_cache_size,
        settings={**INDEX_PLANS, **_PATIENCE},
        on_connect=_prove,
    ) as pool:
        yield pool


async def _prove(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    await check_schema_range(connection)
    await ensure_epoch(connection)
    with translating("setting a connection up"):
        await connection.execute(_DURABLE)
