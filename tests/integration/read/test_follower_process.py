"""The follower as a process: killed, stopped, doubled, cut off."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from grantlog.ports.log import NOWHERE, Position
from grantlog.testing.contracts.places import ACME, OTHER, Copy, Primary
from tests.contract.postgres import postgres_primary, postgres_replica
from tests.integration.read.barrier import barrier
from tests.waiting import until

NewDatabase = Callable[..., Awaitable[str]]


class Databases:
    def __init__(self, primary: str, replica: str) -> None:
        self.primary = primary
        self.replica = replica


@pytest.fixture
async def databases(migrated_database: NewDatabase) -> Databases:
    return Databases(await migrated_database(), await migrated_database(seed=False))


@asynccontextmanager
async def follower(
    databases: Databases, *, replica: bool = True, slice_max: int = 20, **settings: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {
        **os.environ,  # noqa: TID251 - a child's environment
        "GRANTLOG_DATABASE_URL": databases.primary,
        "GRANTLOG_BEAT_S": "0.1",
        "GRANTLOG_UPKEEP_S": "0.1",
        "GRANTLOG_CHANGES_PER_SLICE_MAX": str(slice_max),
        **({"GRANTLOG_REPLICA_URL": databases.replica} if replica else {}),
        **settings,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "grantlog_projector",
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )
    lines: list[str] = []

    async def read() -> None:
        assert process.stderr is not None
        while line := await process.stderr.readline():
            lines.append(line.decode())

    process.lines = lines
    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def stopped(process: asyncio.subprocess.Process) -> int:
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(60):
        return await process.wait()


async def at_head(primary: Primary, replica: Copy, tenant=ACME) -> bool:
    head = (await primary.log.heads_moved(None)).heads[tenant]
    return (await replica.projection.positions()).get(tenant) == head


async def beats(databases: Databases) -> dict[str, float]:
    connection = await asyncpg.connect(databases.primary)
    try:
        rows = await connection.fetch(
            "SELECT kind, extract(epoch FROM clock_timestamp() - beat_at)::float8 AS age "
            "FROM followers"
        )
    finally:
        await connection.close()
    return {row["kind"]: row["age"] for row in rows}


async def equal(primary: Primary, replica: Copy, tenant=ACME) -> bool:
    ours = await primary.projection.digest(tenant)
    return ours == await replica.projection.digest(tenant)


async def test_a_follower_killed_again_and_again_loses_and_doubles_nothing(
    databases: Databases,
) -> None:
    async with (
        postgres_primary(databases.primary) as primary,
        postgres_replica(databases.replica) as replica,
    ):
        for number in range(150):
            await primary.put(*(f"doc:{number}#viewer@user:{n}" for n in range(10)))
            await primary.put(f"doc:{number % 7}$level|integer:{number}")
            if number % 10 == 9:
                await primary.remove(*(f"doc:{number}#viewer@user:{n}" for n in range(0, 10, 2)))
        seen, head = NOWHERE, (await primary.heads.head(ACME)).revision
        async with barrier(databases.replica, table="heads", column="revision") as gate:
            for turn in (1, 2, 3):
                await gate.move(turn * head // 4)
                async with follower(databases) as process:

                    async def moved(seen: Position = seen) -> bool:
                        at = (await replica.projection.positions()).get(ACME, seen)
                        return at.revision > seen.revision

                    await until(moved)
                    process.send_signal(signal.SIGKILL)
                    await process.wait()
                await gate.end_orphans()
                seen = (await replica.projection.positions())[ACME]
        assert seen.revision < head
        async with follower(databases) as process:
            await until(lambda: at_head(primary, replica))
            assert await equal(primary, replica)
            assert await stopped(process) == 0


async def test_a_stopped_follower_exits_cleanly_and_the_next_goes_on(
    databases: Databases,
) -> None:
    async with (
        postgres_primary(databases.primary) as primary,
        postgres_replica(databases.replica) as replica,
    ):
        await primary.put("doc:1#viewer@user:1")
        async with follower(databases) as process:
            await until(lambda: at_head(primary, replica))
            assert await stopped(process) == 0
        await primary.put("doc:2#viewer@user:1")
        assert not await at_head(primary, replica)
        async with follower(databases):
            await until(lambda: at_head(primary, replica))


async def test_a_second_follower_stands_by_and_takes_over(databases: Databases) -> None:
    async with (
        postgres_primary(databases.primary) as primary,
        postgres_replica(databases.replica) as replica,
        follower(databases) as first,
    ):
        await until(lambda: any("role taken" in line for line in first.lines))
        async with follower(databases) as second:
            await until(lambda: any("standing by" in line for line in second.lines))
            assert not any("role taken" in line for line in second.lines)
            first.send_signal(signal.SIGKILL)
            await first.wait()
            await primary.put("doc:1#viewer@user:1")
            await until(lambda: at_head(primary, replica))
            assert await stopped(second) == 0


async def test_a_follower_survives_the_loss_of_all_its_connections(
    databases: Databases,
) -> None:
    async with (
        postgres_primary(databases.primary) as primary,
        postgres_replica(databases.replica) as replica,
        follower(databases) as process,
    ):
        await primary.put("doc:1#viewer@user:1")
        await until(lambda: at_head(primary, replica))
        admin = await asyncpg.connect(databases.primary)
        try:
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND application_name LIKE 'grantlog %'"
            )
            await primary.put("doc:2#viewer@user:1")
            await until(lambda: at_head(primary, replica))
            await admin.execute("UPDATE followers SET beat_at = 'epoch'")
        finally:
            await admin.close()

        async def beating() -> bool:
            ages = await beats(databases)
            return set(ages) == {"maintenance", "replica"} and max(ages.values()) < 1

        await until(beating)
        assert await stopped(process) == 0


async def test_without_a_replica_it_beats_and_purges(databases: Databases) -> None:
    async with (
        postgres_primary(databases.primary) as primary,
        follower(databases, replica=False) as process,
    ):
        await primary.put("doc:1#viewer@user:1", "doc:1$level|integer:1")
        await primary.writer.delete_tenant(ACME, write_id=primary.new_id())

        async def purged() -> bool:
            connection = await asyncpg.connect(databases.primary)
            try:
                left = await connection.fetchval(
                    "SELECT (SELECT count(*) FROM relation_tuples) "
                    "+ (SELECT count(*) FROM attributes) + (SELECT count(*) FROM dead_lives)"
                )
            finally:
                await connection.close()
            return left == 0

        await until(purged)

        async def beating() -> bool:
            return set(await beats(databases)) == {"maintenance"}

        await until(beating)
        assert await stopped(process) == 0


async def test_history_outside_the_window_goes_in_both_databases(databases: Databases) -> None:
    async with (
        postgres_primary(databases.primary) as primary,
        postgres_replica(databases.replica) as replica,
    ):
        for number in range(5):
            await primary.put(f"doc:1$level|integer:{number}", "doc:1#viewer@user:1")
            await primary.remove("doc:1#viewer@user:1")
            await primary.put("doc:1#viewer@user:1", tenant=OTHER)
        head = (await primary.heads.head(ACME)).revision
        async with follower(databases, GRANTLOG_HISTORY_WINDOW_S="0") as process:

            async def collected() -> bool:
                left = 0
                for dsn in (databases.primary, databases.replica):
                    connection = await asyncpg.connect(dsn)
                    try:
                        left += await connection.fetchval(
                            "SELECT (SELECT count(*) FROM relation_tuples_history) "
                            "+ (SELECT count(*) FROM attributes_history)"
                        )
                    finally:
                        await connection.close()
                return left == 0 and await at_head(primary, replica)

            await until(collected)
            assert await stopped(process) == 0
        ours = await primary.projection.digest(ACME, head)
        assert ours == await replica.projection.digest(ACME, head)


async def test_a_primary_given_as_replica_is_refused_in_one_line_and_left_alone(
    databases: Databases,
) -> None:
    """The process stays for what else it does: ending would leave the primary unkept."""
    wrong = Databases(databases.primary, databases.primary)
    async with follower(wrong) as process:

        async def refused() -> bool:
            return any("primary's database" in line for line in process.lines)

        await until(refused)

        async def maintained() -> bool:
            return "maintenance" in await beats(databases)

        await until(maintained)
        assert await stopped(process) == 0
    assert sum("primary's database" in line for line in process.lines) == 1
