"""A node reads nothing over a connection to the primary that has not proven whose log it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from grantlog.store.postgres.proof import Proof
from tests.waiting import until
from tests.whole_api import whole_api

NewDatabase = Callable[..., Awaitable[str]]
SIGNALS = {"grantlog signal", "grantlog listen"}
"""They send and hear that something happened, and read nothing."""


@pytest.mark.parametrize("with_replica", [False, True])
async def test_every_pool_of_the_primary_proves_its_connections(
    migrated_database: NewDatabase, monkeypatch: pytest.MonkeyPatch, *, with_replica: bool
) -> None:
    dsn = await migrated_database()
    replica = await migrated_database(seed=False)
    proven: list[str] = []
    prove = Proof.prove

    async def noting(self: Proof, connection: asyncpg.Connection) -> None:
        await prove(self, connection)
        proven.append(await connection.fetchval("SHOW application_name"))

    monkeypatch.setattr(Proof, "prove", noting)
    settings = {"replica_url": replica} if with_replica else {}
    async with whole_api(dsn, **settings):

        async def all_have_proven() -> bool:
            there = [name for name in await connected(dsn) if name not in SIGNALS]
            return len(there) >= 5 and sorted(proven) == sorted(there)

        await until(all_have_proven)  # one that has just come is about to


async def test_health_tells_of_a_second_primary(
    migrated_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with whole_api(await migrated_database()) as api:
        assert "replicas" not in (await api.rest.get("/healthz")).json()
        monkeypatch.setattr(Proof, "rival", "two primaries: the server that was started then")
        told = (await api.rest.get("/healthz")).json()
        assert told["replicas"] == {"primary": "two primaries: the server that was started then"}


async def connected(dsn: str) -> list[str]:
    """What the connections to a database call themselves, without the one that asks."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            "SELECT application_name FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name <> ''"
        )
    finally:
        await connection.close()
    return [row["application_name"] for row in rows]
