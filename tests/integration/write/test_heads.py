"""Heads, schemas and tenants as the primary tells them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from grantlog.errors import UnavailableError
from grantlog.model.ids import Epoch, SchemaVersion, TenantId
from grantlog.ports.heads import Head
from grantlog.store.postgres.epoch import open_epoch
from grantlog.store.postgres.heads import PostgresHeads, open_heads
from grantlog.store.postgres.primary import open_primary_pool
from grantlog.store.postgres.schemas import PostgresSchemas
from tests.integration.write.conftest import Place
from tests.integration.write.facts import ACME, put, write
from tests.integration.write.proxy import proxied

NOBODY = TenantId("nobody")


@pytest.fixture
async def heads(place: Place) -> AsyncIterator[PostgresHeads]:
    async with open_heads(place.pool) as reader:
        yield reader


async def test_a_head_names_revision_schema_and_epoch(place: Place, heads: PostgresHeads):
    schema = await place.writer.write_schema(ACME, "entity user {}", based_on=None, write_id=b"s")
    assert await heads.head(ACME) == Head(Epoch(1), schema.revision, schema.schema_version)
    assert await heads.head(NOBODY) == Head(Epoch(1), 0, "")


async def test_heads_asked_for_together_share_few_statements(place: Place, heads: PostgresHeads):
    sent: list[str] = []
    async with place.pool.acquire() as one, place.pool.acquire() as other:
        for connection in (one, other):
            connection.add_query_logger(lambda record: sent.append(record.query))
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(heads.head(TenantId(f"t{n % 40}"))) for n in range(400)]
    assert 1 <= len(sent) <= 2
    assert [task.result().revision for task in asked] == [int(n % 40 == 1) for n in range(400)]


async def test_a_head_is_never_older_than_the_call(place: Place, heads: PostgresHeads):
    async def read_own_writes(number: int) -> None:
        for turn in range(10):
            written = await place.writer.write(write(put(f"doc:{number}-{turn}#viewer@user:1")))
            assert (await heads.head(ACME)).revision >= written.revision

    async with asyncio.TaskGroup() as group:
        for number in range(12):
            group.create_task(read_own_writes(number))


async def test_one_who_stops_asking_does_not_stop_the_others(heads: PostgresHeads):
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(heads.head(NOBODY)) for _ in range(3)]
        await asyncio.sleep(0)
        asked[0].cancel()
    assert [task.cancelled() for task in asked] == [True, False, False]


async def test_a_primary_that_is_gone_is_unavailable_and_back_again(place: Place):
    async with (
        proxied(place.dsn) as (proxy, dsn),
        open_primary_pool(dsn, size_max=2, application_name="proxied") as pool,
        open_heads(pool) as heads,
    ):
        proxy.down = True
        await place.pool.fetch(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'proxied'"
        )
        with pytest.raises(UnavailableError):
            await heads.head(ACME)
        proxy.down = False
        assert (await heads.head(ACME)).revision == 0


async def test_an_older_epochs_head_is_what_the_next_one_recorded(
    place: Place, heads: PostgresHeads
):
    for number in range(3):
        await place.writer.write(write(put(f"doc:{number}#viewer@user:1")))
    second = await open_epoch(place.dsn, reason="a test")
    committed = await place.writer.write(write(put("doc:9#viewer@user:1")))
    assert (committed.epoch, committed.revision) == (second, 4)
    assert (await heads.head(ACME)).epoch == (await heads.head(NOBODY)).epoch == second
    await open_epoch(place.dsn, reason="another")
    assert await heads.recorded_head(ACME, Epoch(1)) == 3
    assert await heads.recorded_head(ACME, second) == 4
    assert await heads.recorded_head(NOBODY, Epoch(1)) == 0
    assert (
        await heads.recorded_head(ACME, Epoch(2)) == 0
    )  # of another log, this one never was in it


async def test_a_head_behind_what_was_acknowledged_opens_an_epoch_first(
    place: Place, heads: PostgresHeads
):
    """A data directory restored from a copy has the same identity, and an older head."""
    for number in range(3):
        await place.writer.write(write(put(f"doc:{number}#viewer@user:1")))
    await _restore(place, 1)
    committed = await place.writer.write(write(put("doc:9#viewer@user:1")))
    assert (committed.epoch > 1, committed.revision) == (True, 2)
    assert await heads.recorded_head(ACME, Epoch(1)) == 1


async def test_another_history_at_the_same_revision_opens_an_epoch_first(place: Place):
    await place.writer.write(write(put("doc:1#viewer@user:1")))
    await place.pool.execute("UPDATE heads SET digest = '\\x00' WHERE tenant_id = 'acme'")
    committed = await place.writer.write(write(put("doc:9#viewer@user:1")))
    assert (committed.epoch > 1, committed.revision) == (True, 2)


async def _restore(place: Place, revision: int) -> None:
    await place.pool.execute("DELETE FROM transactions WHERE revision > $1", revision)
    await place.pool.execute("DELETE FROM relation_tuples WHERE created_rev > $1", revision)
    await place.pool.execute(
        "UPDATE heads SET (revision, digest) = (SELECT revision, digest FROM transactions"
        " WHERE tenant_id = 'acme' AND revision = $1) WHERE tenant_id = 'acme'",
        revision,
    )


async def test_schemas_are_read_by_version_and_listed_newest_first(place: Place):
    schemas = PostgresSchemas(place.pool)
    versions = []
    for text in ("one", "two", "three"):
        written = await place.writer.write_schema(ACME, text, based_on=None, write_id=b"s")
        versions.append(written.schema_version)
    record = await schemas.schema(ACME, versions[1])
    assert record is not None
    assert (record.text, record.revision) == ("two", 2)
    assert [r.text for r in await schemas.schemas(ACME, limit=2)] == ["three", "two"]
    older = await schemas.schemas(ACME, limit=9, before=versions[1])
    assert [r.version for r in older] == versions[:1]
    assert await schemas.schema(ACME, SchemaVersion("unknown")) is None
    assert await schemas.schema(NOBODY, versions[1]) is None
    await place.writer.delete_tenant(ACME, write_id=b"d")
    assert await schemas.schema(ACME, versions[1]) is None
    assert await schemas.schemas(ACME, limit=9) == []


async def test_writers_commit_durably_whatever_the_databases_default(place: Place):
    name = await place.pool.fetchval("SELECT current_database()")
    await place.pool.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    connection = await asyncpg.connect(place.dsn)
    try:
        assert await connection.fetchval("SHOW synchronous_commit") == "off"
    finally:
        await connection.close()
    async with open_primary_pool(place.dsn, size_max=1, application_name="test") as pool:
        for _ in range(2):  # a second use of the connection has it too
            assert await pool.fetchval("SHOW synchronous_commit") == "on"
