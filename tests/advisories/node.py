"""A node inside the test's own process: both doors over a real Postgres, open to inspection."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
from grantlog_api import grpc_door, rest_door
from grantlog_api.settings import ApiSettings
from grantlog_api.wiring import Api, open_api

from tests.advisories.doors import Grpc, Rest, both_doors

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
    async with open_api(own) as api:
        stop = asyncio.Event()
        server = grpc_door.build_server(kind)
        grpc_door.add_services(server, api.calls, api.probe)
        grpc_port = server.add_insecure_port("127.0.0.1:0")
        app = rest_door.build_app(api.calls, api.probe, allowed_origins=["*"])
        # With its protocol named, asyncio sets TCP_NODELAY as uvloop always does.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        rest = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with asyncio.TaskGroup() as group:
            group.create_task(grpc_door.serve(server, stop, drain_s_max=1))
            group.create_task(rest_door.serve(app, listener, stop, drain_s_max=1))
            try:
                async with both_doors(rest, f"127.0.0.1:{grpc_port}") as (client, stub):
                    await stub.channel.channel_ready()
                    yield Node(api, dsn, client, stub)
            finally:
                api.watches.close()
                stop.set()
