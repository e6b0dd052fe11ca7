"""Migrations and epochs on a real server."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from grantlog.errors import PreconditionError
from grantlog.store.postgres.epoch import ensure_epoch, open_epoch
from grantlog.store.postgres.migrate import check_schema_range, migrate, migrations
from grantlog.store.postgres.pool import connect


async def test_migrating_twice_applies_once(fresh_database):
    url = await fresh_database()
    numbers = [migration.number for migration in migrations()]
    assert await migrate(url) == numbers
    assert await migrate(url) == []


async def test_two_processes_that_migrate_at_once_do_not_meet(fresh_database):
    url = await fresh_database()
    async with asyncio.TaskGroup() as group:
        runs = [group.create_task(migrate(url)) for _ in range(4)]
    applied = sorted(number for run in runs for number in run.result())
    assert applied == [migration.number for migration in migrations()]


async def test_an_empty_database_is_refused_until_it_is_migrated(fresh_database):
    url = await fresh_database()
    async with connect(url, application_name="test") as connection:
        with pytest.raises(PreconditionError, match="grantlog migrate"):
            await check_schema_range(connection)
        await migrate(url)
        assert await check_schema_range(connection) == migrations()[-1].number


async def test_a_newer_versions_database_is_refused(migrated_database):
    url = await migrated_database()
    async with connect(url, application_name="test") as connection:
        await connection.execute("INSERT INTO migrations (number, name) VALUES (9999, 'later')")
        with pytest.raises(PreconditionError, match="newer version"):
            await check_schema_range(connection)
    with pytest.raises(PreconditionError, match="newer version"):
        await migrate(url)


async def test_a_replica_has_no_epoch_and_no_key(migrated_database):
    async with connect(await migrated_database(seed=False), application_name="test") as connection:
        assert await connection.fetchval("SELECT count(*) FROM epochs") == 0
        names = await connection.fetch("SELECT name FROM meta")
        assert [row["name"] for row in names] == ["replica"], "it is marked: no primary begins here"


async def test_the_key_of_continuation_tokens_stays(migrated_database):
    url = await migrated_database()
    read = "SELECT value FROM meta WHERE name = 'mac_key'"
    async with connect(url, application_name="test") as connection:
        key = await connection.fetchval(read)
        await migrate(url)
        assert await connection.fetchval(read) == key
        assert len(bytes.fromhex(key)) == 32


async def test_the_same_server_keeps_its_epoch(migrated_database):
    async with connect(await migrated_database(), application_name="test") as connection:
        assert await ensure_epoch(connection) == 1
        assert await ensure_epoch(connection) == 1


async def test_another_system_or_timeline_opens_an_epoch_that_records_heads(migrated_database):
    url = await migrated_database()
    async with connect(url, application_name="test") as connection:
        await _set_head(connection, "acme", 7)
        await connection.execute("UPDATE epochs SET system_identifier = '1'")
        second = await ensure_epoch(connection)
        assert second > 1
        assert await _recorded(connection, second) == 7
        await connection.execute("UPDATE epochs SET timeline = timeline + 1")
        assert await ensure_epoch(connection) > second
        reasons = await connection.fetch("SELECT reason FROM epochs ORDER BY epoch")
    assert reasons[0]["reason"] == "first start"
    assert "restored" in reasons[1]["reason"]
    assert "failover" in reasons[2]["reason"]


async def test_connections_that_come_together_open_one_epoch(migrated_database):
    url = await migrated_database()
    async with connect(url, application_name="test") as connection:
        await connection.execute("UPDATE epochs SET system_identifier = '1'")

    async def ensure() -> int:
        async with connect(url, application_name="test") as own:
            return await ensure_epoch(own)

    async with asyncio.TaskGroup() as group:
        opened = [group.create_task(ensure()) for _ in range(5)]
    epochs = {task.result() for task in opened}
    assert len(epochs) == 1
    assert min(epochs) > 1


async def test_an_operator_opens_an_epoch_and_every_head_moves_to_it(migrated_database):
    url = await migrated_database()
    async with connect(url, application_name="test") as connection:
        await _set_head(connection, "acme", 3)
        epoch = await open_epoch(url, reason="restored from backup")
        assert epoch > 1
        assert await connection.fetchval("SELECT DISTINCT epoch FROM heads") == epoch
        assert await _recorded(connection, epoch) == 3


async def _set_head(connection: asyncpg.Connection, tenant: str, revision: int) -> None:
    await connection.execute(
        "INSERT INTO heads (tenant_id, epoch, revision, digest, salt, commit_time)"
        " VALUES ($1, 1, $2, '', '', now())",
        tenant,
        revision,
    )


async def _recorded(connection: asyncpg.Connection, epoch: int) -> int:
    return await connection.fetchval(
        "SELECT revision FROM epoch_heads WHERE tenant_id = 'acme' AND epoch = $1", epoch
    )
