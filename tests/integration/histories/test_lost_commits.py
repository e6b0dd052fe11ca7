"""Nodes that are cut off at COMMIT under load acknowledge what the log has, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import cycle, islice
from random import Random
from urllib.parse import parse_qs, urlsplit, urlunsplit

from grantlog.model.change import Transaction
from grantlog.model.ids import TenantId
from grantlog.store.postgres.pool import open_pool
from grantlog.testing.chaos_proxy import Streams, Trap, open_proxy
from grantlog.testing.histories import violations
from tests.history_load import Load, whole_log, working
from tests.whole_api import whole_api

TENANTS = [TenantId("one"), TenantId("two")]
CUTS = 12
COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"


async def test_commits_that_are_cut_are_told_as_they_are(
    migrated_database: Callable[..., Awaitable[str]],
):
    dsn = await migrated_database()
    parts = urlsplit(dsn)
    query = parse_qs(parts.query)

    async def connect() -> Streams:
        port = query.get("port", ["5432"])[0]
        return await asyncio.open_unix_connection(f"{query['host'][0]}/.s.PGSQL.{port}")

    async def log_of(tenant: TenantId) -> Sequence[Transaction]:
        async with open_pool(dsn, size_max=1, application_name="test") as pool:
            return await whole_log(pool, tenant)

    async with open_proxy(connect) as proxy:
        address = parts._replace(
            netloc=f"{parts.username}@127.0.0.1:{proxy.port}", query="sslmode=disable"
        )
        through = urlunsplit(address)
        async with whole_api(through) as a, whole_api(through) as b:
            addresses = {"a": a.grpc_address, "b": b.grpc_address}
            seed = str(Random().random())
            load = Load(addresses, log_of, seed, TENANTS, pace=10, reborn=TENANTS[-1])
            async with working(load), asyncio.timeout(300):
                for arrives in islice(cycle([True, False]), CUTS):
                    proxy.trap = trap = Trap(COMMIT, arrives=arrives)
                    await trap.sprung.wait()
    logs = {tenant: await log_of(tenant) for tenant in TENANTS}
    assert violations(load.notes.history, logs) == [], f"seed {seed}"
    assert not load.notes.odd
