"""A node inside the test's own process: both doors over a real Postgres, open to inspection."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
from grantlog_api.settings import ApiSettings
from grantlog_api.wiring import Api, open_api

from tests.advisories.doors import Grpc, Rest, both_doors
from tests.whole_api import served

_tenants = itertools.count(1)


@dataclass
class Node:
    """Both doors of a node, its parts, and its database."""

    api: Api
    dsn: str
    rest: Rest
    grpc: Grpc

    @property
    def doors(self) -> tuple[Rest, Grpc]:
        return self.rest, self.grpc

    async def busy(self) -> int:
        """Connections of this database that are in the middle of something."""
        return await self.ask(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND state <> 'idle'"
        )

    async def connections(self) -> int:
        """Connections of this database."""
        return await self.ask(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid()"
        )

    async def waits(self) -> bool:
        """Whether a statement waits for a lock."""
        return await self.ask("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0

    @asynccontextmanager
    async def locked(self, table: str) -> AsyncIterator[None]:
        """For the block, every statement that reads a table waits."""
        holder = await asyncpg.connect(self.dsn)
        try:
            async with holder.transaction():
                await holder.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
                yield
        finally:
            await holder.close()

    async def ask(self, statement: str, *arguments: object) -> int:
        """One value by SQL."""
        admin = await asyncpg.connect(self.dsn)
        try:
            return await admin.fetchval(statement, *arguments)
        finally:
            await admin.close()


def new_tenant(name: str = "t") -> str:
    """A tenant that nobody has used."""
    return f"{name}-{next(_tenants)}"


@asynccontextmanager
async def open_node(dsn: str, *, kind: str = "grpcio", **settings: object) -> AsyncIterator[Node]:
    """A node over a migrated database."""
    own = ApiSettings(database_url=dsn, **{"consistency": "head", **settings})
    async with (
        open_api(own) as api,
        served(api, grpc_server=kind) as doors,
        both_doors(doors.rest_url, doors.grpc_address) as (client, stub),
    ):
        await stub.channel.channel_ready()
        yield Node(api, dsn, client, stub)
