"""Connections to the primary: each has proven, before anyone uses it, which log it writes to."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from grantlog.store.postgres.connecting import THE_PRIMARY
from grantlog.store.postgres.driver_errors import translating
from grantlog.store.postgres.epoch import refuse_replica
from grantlog.store.postgres.migrate import check_schema_range
from grantlog.store.postgres.pool import INDEX_PLANS, Pool, open_pool
from grantlog.store.postgres.proof import Proof
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
    proof: Proof | None = None,
    only_looks: bool = False,
) -> AsyncGenerator[Pool]:
    """A pool for writing, heads, schemas and tenants.

    Each new connection checks the database's shape, opens an epoch if the server is another one
    than the log knows or lacks what this process saw, and commits durably whatever the server's
    default.

    Args:
        dsn: where to connect.
        size_max: connections at most.
        application_name: what the server shows of us.
        statement_cache_size: as `open_pool`.
        proof: what this process saw of the log; the pools of a process share it.
        only_looks: who looks at a database opens no epoch in it: its address may be a mistake.

    Raises:
        UnavailableError: the server does not answer, or is no primary.
        PreconditionError: not migrated, a newer version's or a replica's database, or access
            refused.
    """
    proof = proof or Proof()

    async def prove(connection: asyncpg.Connection[asyncpg.Record]) -> None:
        await check_schema_range(connection)
        if only_looks:
            await refuse_replica(connection)
        else:
            await proof.prove(connection)
        with translating("setting a connection up"):
            await connection.execute(_DURABLE)

    async with open_pool(
        dsn,
        size_max=size_max,
        application_name=application_name,
        statement_cache_size=statement_cache_size,
        settings={**INDEX_PLANS, **_PATIENCE},
        on_connect=prove,
        whose=THE_PRIMARY,
    ) as pool:
        yield pool
