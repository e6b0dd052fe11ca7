"""The reader on Postgres: statements shared, harm contained, broken connections survived."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from grantlog.errors import InvalidInputError, UnavailableError
from grantlog.model.ids import Revision, TenantId
from grantlog.store.postgres.pool import INDEX_PLANS, open_pool
from grantlog.store.postgres.reader import PostgresFactReader, open_fact_reader
from grantlog.store.postgres.statements import load
from grantlog.testing.contracts.places import ACME, OTHER, direct
from tests.contract.postgres import postgres_primary
from tests.waiting import until

NewDatabase = Callable[..., Awaitable[str]]
HELD, ABSENT = direct("doc:1#viewer@user:1"), direct("doc:1#viewer@user:2")


class Watched:
    """A reader, its database, and the statements it sent."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.statements: list[str] = []
        self.reader: PostgresFactReader

    async def watch(self, connection: asyncpg.Connection) -> None:
        connection.add_query_logger(self._sent)

    def _sent(self, query: asyncpg.connection.LoggedQuery) -> None:
        for name, statement in load("read").items():  # the driver has queries of its own
            if query.query == statement:
                self.statements.append(name)

    async def terminate_connections(self) -> None:
        admin = await asyncpg.connect(self.dsn)
        try:
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'watched'"
            )
        finally:
            await admin.close()


@asynccontextmanager
async def watching(dsn: str, *, statements_max: int, keys_max: int) -> AsyncIterator[Watched]:
    watched = Watched(dsn)
    async with (
        open_pool(
            dsn,
            size_max=statements_max,
            application_name="watched",
            settings=INDEX_PLANS,
            on_connect=watched.watch,
        ) as pool,
        open_fact_reader(pool, statements_max=statements_max, keys_max=keys_max) as reader,
    ):
        watched.reader = reader
        yield watched


@pytest.fixture
async def watched(migrated_database: NewDatabase) -> AsyncIterator[Watched]:
    dsn = await migrated_database()
    async with postgres_primary(dsn) as primary:
        await primary.put("doc:1#viewer@user:1")
        await primary.put("doc:1#viewer@user:2", tenant=OTHER)
    async with watching(dsn, statements_max=1, keys_max=100) as watched:
        yield watched


async def ask(watched: Watched, tenant: TenantId = ACME, *keys) -> list[object]:
    return list(await watched.reader.read(tenant, Revision(1), keys or (HELD, ABSENT)))


async def test_reads_of_one_moment_share_a_statement(watched: Watched) -> None:
    async with asyncio.TaskGroup() as group:
        ours = [group.create_task(ask(watched)) for _ in range(30)]
        theirs = [group.create_task(ask(watched, OTHER)) for _ in range(30)]
    assert all(task.result() == [True, False] for task in ours)
    assert all(task.result() == [False, True] for task in theirs)
    # 60 calls of two keys, at most 100 keys a statement.
    assert watched.statements == ["read", "read"]


async def test_reads_without_keys_ask_for_heads_alone(watched: Watched) -> None:
    async def ask_nothing(tenant: TenantId) -> object:
        return await watched.reader.read(tenant, Revision(1), ())

    async with asyncio.TaskGroup() as group:
        for tenant in (ACME, OTHER, ACME):
            group.create_task(ask_nothing(tenant))
    assert watched.statements == ["guards"]
    async with asyncio.TaskGroup() as group:
        group.create_task(ask_nothing(OTHER))
        keyed = group.create_task(ask(watched))
    assert keyed.result() == [True, False]
    assert watched.statements == ["guards", "read"]


async def test_more_keys_than_a_statement_takes_are_read_in_several(watched: Watched) -> None:
    keys = [direct(f"doc:{number}#viewer@user:1") for number in range(250)]
    answers = await ask(watched, ACME, *keys)
    assert [number for number, held in enumerate(answers) if held] == [1]
    assert len(watched.statements) == 3


@pytest.mark.parametrize("text", ["\x00", "\ud800"], ids=["NUL", "lone surrogate"])
async def test_a_key_that_cannot_be_sent_harms_only_its_own_call(
    watched: Watched, text: str
) -> None:
    async def bad() -> object:
        try:
            return await ask(watched, ACME, HELD._replace(entity_id=text))
        except InvalidInputError:
            return InvalidInputError

    async with asyncio.TaskGroup() as group:
        good = [group.create_task(ask(watched)) for _ in range(5)]
        wrong = group.create_task(bad())
        good += [group.create_task(ask(watched)) for _ in range(5)]
    assert wrong.result() is InvalidInputError
    assert all(task.result() == [True, False] for task in good)


async def test_a_caller_that_gives_up_harms_nobody(watched: Watched) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(watched)) for _ in range(20)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
    assert all(task.result() == [True, False] for task in tasks[1::2])
    assert await ask(watched) == [True, False]


async def test_a_broken_connection_is_replaced_without_an_error(watched: Watched) -> None:
    for _ in range(3):
        assert await ask(watched) == [True, False]
        await watched.terminate_connections()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(watched)) for _ in range(20)]
    assert all(task.result() == [True, False] for task in tasks)


async def test_a_database_that_is_gone_is_unavailable(
    watched: Watched, fresh_database: Callable[[], Awaitable[str]]
) -> None:
    admin = await asyncpg.connect(await fresh_database())
    name = watched.dsn.split("?")[0].rpartition("/")[2]
    try:
        await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
        )
        with pytest.raises(UnavailableError):
            await ask(watched)
        await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        assert await ask(watched) == [True, False]
    finally:
        await admin.close()


async def test_a_closed_reader_refuses(watched: Watched) -> None:
    async with watching(watched.dsn, statements_max=1, keys_max=10) as other:
        pass
    with pytest.raises(UnavailableError):
        await ask(other)


async def test_a_statement_that_nobody_waits_for_is_ended_and_one_that_somebody_does_is_not(
    watched: Watched,
) -> None:
    locker, observer = await asyncpg.connect(watched.dsn), await asyncpg.connect(watched.dsn)

    async def waiting() -> object:
        """When the statement that waits for the lock began, if one does."""
        return await observer.fetchval(
            "SELECT max(query_start) FROM pg_stat_activity "
            "WHERE application_name = 'watched' AND wait_event_type = 'Lock'"
        )

    async def begun() -> bool:
        return await waiting() is not None

    async def replaced() -> bool:
        return await waiting() not in {None, earlier}

    try:
        async with asyncio.TaskGroup() as group, locker.transaction():
            await locker.execute("LOCK TABLE relation_tuples IN ACCESS EXCLUSIVE MODE")
            first = group.create_task(ask(watched))
            await until(begun)
            earlier = await waiting()
            # There is one worker: these wait for it, and share the next statement.
            others = [group.create_task(ask(watched)) for _ in range(3)]
            await asyncio.sleep(0)
            first.cancel()
            await until(replaced)
            earlier = await waiting()
            for other in others[:2]:
                other.cancel()
            await asyncio.wait(others[:2])
            assert await waiting() == earlier
        assert others[2].result() == [True, False]
        assert await ask(watched) == [True, False]
    finally:
        await locker.close()
        await observer.close()
