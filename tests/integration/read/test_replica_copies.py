"""The follower as a process that copies a tenant: killed at any moment, written to meanwhile; and
several replicas side by side."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from grantlog.store.postgres.followers import followers
from grantlog.store.postgres.pool import open_pool
from grantlog.testing.contracts.copying import same_digest
from grantlog.testing.contracts.places import ACME, OTHER, Copy, Primary
from tests.contract.postgres import postgres_primary, postgres_replica
from tests.integration.read.barrier import barrier
from tests.integration.read.test_follower_process import (
    Databases,
    at_head,
    follower,
    stopped,
)
from tests.waiting import until

NewDatabase = Callable[..., Awaitable[str]]

SMALL_PAGES = {"GRANTLOG_COPY_REVISIONS_MIN": "10", "GRANTLOG_COPY_ROWS_PER_PAGE_MAX": "5"}


@pytest.fixture
async def databases(migrated_database: NewDatabase) -> Databases:
    return Databases(await migrated_database(), await migrated_database(seed=False))


async def write_long_log(primary: Primary, tenant=ACME) -> None:
    for number in range(40):
        await primary.put(
            *(f"doc:{number}#viewer@user:{n}" for n in range(15)),
            f"doc:{number}$level|integer:1",
            tenant=tenant,
        )
    await primary.remove(*(f"doc:{n}#viewer@user:{m}" for n in range(20) for m in range(5)))


async def rows_copied(replica: Copy) -> int:
    copies = await replica.target.copies()
    return copies[ACME].rows if ACME in copies else 0


async def test_a_copy_killed_again_and_again_while_writes_go_on_ends_where_the_primary_is(
    databases: Databases,
) -> None:
    async with (
        postgres_primary(databases.primary) as primary,
        postgres_replica(databases.replica) as replica,
    ):
        await write_long_log(primary)
        await primary.put("doc:1#viewer@user:1", tenant=OTHER)
        seen = 0
        async with barrier(databases.replica, table="copying", column="copied_rows") as gate:
            for turn in range(4):
                await gate.move((turn + 1) * 100)  # of more than 500 rows
                async with follower(databases, **SMALL_PAGES) as process:

                    async def further(seen: int = seen) -> bool:
                        return await rows_copied(replica) > seen + 20

                    await until(further)
                    await primary.remove(
                        f"doc:{30 - turn}#viewer@user:3", f"doc:{turn}#viewer@user:9"
                    )
                    await primary.put(
                        f"doc:0{turn}#viewer@user:1", f"doc:{39 - turn}$level|integer:{turn}"
                    )
                    process.send_signal(signal.SIGKILL)
                    await process.wait()
                await gate.end_orphans()
                seen = await rows_copied(replica)
                assert seen
        assert ACME not in await replica.projection.positions()
        begun = (await replica.target.copies())[ACME].revision
        async with follower(databases, **SMALL_PAGES) as process:
            await until(lambda: at_head(primary, replica), within_s=60)
            assert await same_digest(primary, replica)
            assert await same_digest(primary, replica, OTHER)
            assert await stopped(process) == 0
        assert not any("begun anew" in line for line in process.lines)
        for at in range(begun, (await primary.heads.head(ACME)).revision):
            ours = await primary.projection.digest(ACME, at)
            assert ours[1] == (await replica.projection.digest(ACME, at))[1]


async def test_a_tenant_with_a_short_log_is_folded_beside_the_copy(databases: Databases) -> None:
    async with (
        postgres_primary(databases.primary) as primary,
        postgres_replica(databases.replica) as replica,
    ):
        await write_long_log(primary)
        await primary.put("doc:1#viewer@user:1", tenant=OTHER)
        async with follower(databases, GRANTLOG_COPY_REVISIONS_MIN="10") as process:
            await until(lambda: at_head(primary, replica), within_s=60)
            await until(lambda: at_head(primary, replica, OTHER), within_s=60)
            assert await stopped(process) == 0
        copied = [line for line in process.lines if '"copied"' in line]
        assert len(copied) == 1
        assert '"tenant":"acme"' in copied[0]


async def test_replicas_side_by_side_each_hold_back_what_they_need(
    databases: Databases, migrated_database: NewDatabase
) -> None:
    other = Databases(databases.primary, await migrated_database(seed=False))
    async with (
        postgres_primary(databases.primary) as primary,
        postgres_replica(databases.replica) as replica,
        postgres_replica(other.replica) as second,
        open_pool(databases.primary, size_max=1, application_name="test") as pool,
    ):
        await primary.put("doc:1#viewer@user:1")
        async with (
            follower(databases, GRANTLOG_REPLICA_NAME="one") as process,
            follower(other, GRANTLOG_REPLICA_NAME="two") as beside,
        ):
            await until(lambda: at_head(primary, replica))
            await until(lambda: at_head(primary, second))

            async def both_told() -> bool:
                rows = {row.name: row for row in await followers(pool)}
                return all(name in rows and rows[name].applied_through for name in ("one", "two"))

            await until(both_told)
            assert await stopped(process) == 0
            assert await stopped(beside) == 0


async def test_a_name_that_another_replica_beats_under_is_refused_in_one_line(
    databases: Databases, migrated_database: NewDatabase
) -> None:
    other = Databases(databases.primary, await migrated_database(seed=False))
    async with (
        postgres_primary(databases.primary) as primary,
        postgres_replica(databases.replica) as replica,
        postgres_replica(other.replica) as second,
    ):
        async with follower(databases) as process:
            await primary.put("doc:1#viewer@user:1")
            await until(lambda: at_head(primary, replica))
            assert "the name 'replica' is another replica's" in await refusal(other)
            assert await second.projection.positions() == {}
            await primary.put("doc:2#viewer@user:1")
            await until(lambda: at_head(primary, replica))
            assert await stopped(process) == 0
        async with follower(other) as process:  # the name was left: nobody need wait
            await until(lambda: at_head(primary, second))
            assert await stopped(process) == 0


async def test_a_copied_database_under_the_same_name_is_refused_in_one_line(
    databases: Databases, migrated_database: NewDatabase
) -> None:
    other = Databases(databases.primary, await migrated_database(seed=False))
    async with (
        postgres_primary(databases.primary) as primary,
        postgres_replica(databases.replica) as replica,
        follower(databases) as process,
    ):
        await primary.put("doc:1#viewer@user:1")
        await until(lambda: at_head(primary, replica))
        await take_identity(databases.replica, other.replica)
        assert "on a copy of this database" in await refusal(other)
        await primary.put("doc:2#viewer@user:1")
        await until(lambda: at_head(primary, replica))
        assert await stopped(process) == 0


async def refusal(databases: Databases) -> str:
    """The last line of a follower that does not want to work on these databases."""
    async with follower(databases) as refused, asyncio.timeout(60):
        assert await refused.wait() == 1
    return refused.lines[-1]


async def take_identity(one: str, other: str) -> None:
    """Give a database the replica's id of another, as a physical copy of it has."""
    source, target = await asyncpg.connect(one), await asyncpg.connect(other)
    try:
        instance = await source.fetchval("SELECT value FROM meta WHERE name = 'replica_id'")
        await target.execute("INSERT INTO meta VALUES ('replica_id', $1)", instance)
    finally:
        await source.close()
        await target.close()
