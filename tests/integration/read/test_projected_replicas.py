"""A projected replica carries the name of the log that it was folded from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import pytest

from grantlog.errors import PreconditionError
from grantlog.ports.standing import Source, follow_standing
from grantlog.store.postgres.epoch import open_epoch
from grantlog.store.postgres.lives import Kind, Lives, follow_life, read_lives
from grantlog.store.postgres.pool import INDEX_PLANS, Pool, open_pool
from grantlog.store.postgres.projection import PROJECTING, PostgresProjection
from grantlog.store.postgres.replica_first import ReplicaLimits
from grantlog.store.postgres.replica_reads import ReplicaReads, open_replica_reads
from grantlog.testing.contracts.places import ACME, Primary, direct
from tests.contract.postgres import postgres_primary
from tests.waiting import until

NewDatabase = Callable[..., Awaitable[str]]
QUICK = ReplicaLimits(wait_s_max=0.0, probe_s=0.05, probe_timeout_s=60.0, back_s_max=0.1)
FACT = "doc:1#viewer@user:1"


@dataclass
class Place:
    """A primary and a database to fold into."""

    dsn: str
    replica_dsn: str
    primary: Primary
    source: Pool
    replica: Pool

    async def fold(self) -> None:
        await PostgresProjection(self.replica).apply(await self.primary.history())

    @asynccontextmanager
    async def node(self, limits: ReplicaLimits = QUICK) -> AsyncIterator[ReplicaReads]:
        async with open_replica_reads(
            self.dsn,
            [self.replica_dsn],
            limits=limits,
        ) as opened:
            yield opened


@asynccontextmanager
async def placed(dsn: str, replica_dsn: str) -> AsyncIterator[Place]:
    async with (
        postgres_primary(dsn) as primary,
        open_pool(dsn, size_max=1, application_name="test", settings=INDEX_PLANS) as source,
        open_pool(replica_dsn, size_max=2, application_name="test", settings=PROJECTING) as replica,
    ):
        yield Place(dsn, replica_dsn, primary, source, replica)


@pytest.fixture
async def place(migrated_database: NewDatabase) -> AsyncIterator[Place]:
    async with placed(await migrated_database(), await migrated_database(seed=False)) as made:
        yield made


async def read(node: ReplicaReads, at: int) -> tuple[bool, Source]:
    standing = follow_standing()
    (held,) = await node.reads.facts.read(ACME, at, [direct(FACT)])
    return held, standing.source


async def test_a_replica_is_read_once_its_projector_has_said_what_it_follows(place: Place) -> None:
    done = await place.primary.put(FACT)
    await place.fold()
    async with place.node() as node:
        (state,) = node.states
        assert state.out_because == "it follows no log: no projector has begun to fold into it"
        assert await read(node, done.revision) == (True, Source.PRIMARY)
        await follow_life(place.source, place.replica)
        await until(lambda: state.is_in)
        assert state.kind is Kind.PROJECTED
        assert await read(node, done.revision) == (True, Source.REPLICA)


async def test_a_new_epoch_is_followed_and_what_is_left_of_the_old_one_is_not_read(
    place: Place,
) -> None:
    done = await place.primary.put(FACT)
    await place.fold()
    await follow_life(place.source, place.replica)
    async with place.node() as node:
        (state,) = node.states
        assert await read(node, done.revision) == (True, Source.REPLICA)
        await open_epoch(place.dsn, reason="a restore")
        await until(lambda: state.out_because == "it has not reached the log's newest epoch")
        await follow_life(place.source, place.replica)
        await until(lambda: state.is_in)
        assert await read(node, done.revision) == (True, Source.PRIMARY), "it did not adopt it yet"
        head = (await place.primary.log.heads_moved(None)).heads[ACME]
        assert await PostgresProjection(place.replica).adopt_epoch(ACME, head)
        assert await read(node, done.revision) == (True, Source.REPLICA)


async def test_a_replica_of_another_log_is_neither_followed_nor_read(
    place: Place, migrated_database: NewDatabase
) -> None:
    await place.primary.put(FACT)
    await place.fold()
    await follow_life(place.source, place.replica)
    async with placed(await migrated_database(), place.replica_dsn) as other:
        done = await other.primary.put("doc:9#viewer@user:9")
        with pytest.raises(PreconditionError, match="folded from another log"):
            await follow_life(other.source, other.replica)
        async with other.node() as node:
            assert node.states[0].out_because == "it holds another log than this primary's"
            assert await read(node, done.revision) == (False, Source.PRIMARY)
        await PostgresProjection(other.replica).clear()
        await follow_life(other.source, other.replica)
        await other.fold()
        async with other.node() as node:
            assert await read(node, done.revision) == (False, Source.REPLICA)


async def test_who_reads_a_replica_while_it_is_emptied_has_to_find_out_anew_whose_it_is(
    place: Place, migrated_database: NewDatabase
) -> None:
    done = await place.primary.put(FACT)
    await place.fold()
    await follow_life(place.source, place.replica)
    rarely = ReplicaLimits(wait_s_max=0.0, probe_s=600.0, probe_timeout_s=60.0)
    async with (
        place.node(rarely) as node,
        placed(await migrated_database(), place.replica_dsn) as other,
    ):
        assert await read(node, done.revision) == (True, Source.REPLICA)
        foreign = await other.primary.put("doc:9#viewer@user:9")
        assert foreign.revision == done.revision
        await PostgresProjection(other.replica).clear()
        await follow_life(other.source, other.replica)
        await other.fold()
        for _ in range(10):
            assert await read(node, done.revision) == (True, Source.PRIMARY)
        assert not node.states[0].is_in


async def test_a_replica_whose_tables_are_gone_is_left_out(place: Place) -> None:
    done = await place.primary.put(FACT)
    await place.fold()
    await follow_life(place.source, place.replica)
    async with place.node() as node:
        assert await read(node, done.revision) == (True, Source.REPLICA)
        connection = await asyncpg.connect(place.replica_dsn)
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        await connection.close()
        for _ in range(10):
            assert await read(node, done.revision) == (True, Source.PRIMARY)
        await until(lambda: "run `grantlog migrate`" in node.states[0].out_because)


async def test_what_names_a_log_is_its_epochs(place: Place, migrated_database: NewDatabase) -> None:
    first = await lives_of(place)
    epoch = await open_epoch(place.dsn, reason="a test")
    second = await lives_of(place)
    assert (first.epoch, second.epoch) == (1, epoch)
    assert second.earlier == {first.newest}
    async with placed(await migrated_database(), place.replica_dsn) as other:
        assert (await lives_of(other)).newest != first.newest


async def lives_of(place: Place) -> Lives:
    async with place.source.acquire() as connection:
        return await read_lives(connection)
