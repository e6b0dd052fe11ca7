"""A primary that accidents happen to, and nodes over it as processes run them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from grantlog_api.memory import Memory

from grantlog.app.resolve import Resolver
from grantlog.app.terms import Consistency, Terms
from grantlog.errors import GrantlogError
from grantlog.model.ids import Epoch, TenantId
from grantlog.model.token import SnapToken, encode_token
from grantlog.ports.heads import Head
from grantlog.ports.writer import Committed
from grantlog.store.postgres.heads import open_heads
from grantlog.store.postgres.migrate import migrate
from grantlog.store.postgres.past import PostgresPast
from grantlog.store.postgres.pool import Pool
from grantlog.store.postgres.primary import open_primary_pool
from grantlog.store.postgres.writer import PostgresWriter, open_writer
from grantlog.testing.contracts.places import ACME
from tests.integration.write.facts import put, write
from tests.own_postgres import OwnPostgres, own_postgres

NEWEST = "SELECT max(epoch) FROM epochs"
OPENED = "SELECT count(*) FROM epochs"
REASON = "SELECT reason FROM epochs ORDER BY epoch DESC LIMIT 1"


@dataclass
class Node:
    """What an API node has of a primary."""

    pool: Pool
    memory: Memory
    resolver: Resolver
    writer: PostgresWriter

    async def look(self) -> None:
        """What a node does every second."""
        await self.memory.proof.look(self.pool)

    async def put(self, fact: str, tenant: TenantId = ACME) -> Committed:
        done = await self.writer.write(write(put(fact), tenant=tenant))
        head = Head(done.epoch, done.revision, done.schema_version, done.begins)
        self.memory.known.learn(tenant, head, self.memory.known.now())
        return done

    async def at(self, epoch: int, revision: int, tenant: TenantId = ACME) -> Head:
        """Resolve a question with a token."""
        token = encode_token(tenant, SnapToken(Epoch(epoch), revision))
        return await self.resolver.resolve(tenant, Terms(snap_token=token))

    async def answers(self) -> bool:
        """Whether it has found the primary again."""
        try:
            await self.resolver.refresh(ACME)
        except GrantlogError:
            return False
        return True


@asynccontextmanager
async def node(dsn: str) -> AsyncIterator[Node]:
    """A node that asks for heads and writes."""
    memory = Memory()
    async with (
        open_primary_pool(dsn, size_max=3, application_name="test", proof=memory.proof) as pool,
        open_writer(pool, acknowledged=memory.acknowledged) as writer,
        open_heads(pool) as heads,
    ):
        resolver = Resolver(heads, PostgresPast(pool), memory.known, Consistency.HEAD)
        yield Node(pool, memory, resolver, writer)


@pytest.fixture
def server() -> Iterator[OwnPostgres]:
    with own_postgres() as running:
        yield running


@pytest.fixture
async def primary(server: OwnPostgres) -> OwnPostgres:
    await migrate(server.dsn())
    return server
