"""Whoever asks and leaves ends the work: deadlines, cancelled calls, closed connections.

A lock that another session holds keeps a question's SQL waiting; when its caller is gone, no
statement of ours waits in the database any more, though the lock is still held.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
import grpc
import pytest
from grpc import aio

from tests.waiting import until
from tests.whole_api import WholeApi, result, whole_api

SCHEMA = """
entity user {}
entity team { relation member @user @team#member }
entity doc {
  relation viewer @user @team#member
  attribute public boolean
  permission view = viewer or public
}
"""
TENANT = "leaving"
ASKED = {"tenant_id": TENANT, "metadata": {"depth": 20}, "permission": "view"}
DOC, ANN = {"type": "doc", "id": "1"}, {"type": "user", "id": "ann"}
ITEM = {"entity": DOC, "permission": "view", "subject": ANN}
QUESTIONS = {
    "Permission.Check": {**ASKED, "entity": DOC, "subject": ANN},
    "Permission.BulkCheck": {**ASKED, "items": [ITEM, {**ITEM, "permission": "viewer"}]},
    "Permission.Expand": {**ASKED, "entity": DOC},
    "Permission.LookupEntity": {**ASKED, "entity_type": "doc", "subject": ANN},
    "Permission.LookupEntityStream": {**ASKED, "entity_type": "doc", "subject": ANN},
    "Permission.LookupSubject": {**ASKED, "entity": DOC, "subject_reference": {"type": "user"}},
    "Permission.SubjectPermission": {**ASKED, "entity": DOC, "subject": ANN},
    "Data.ReadRelationships": {"tenant_id": TENANT, "metadata": {}, "filter": {}},
}
LOCKED = "relation_tuples, attributes, relation_tuples_history, attributes_history"
WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


class Database:
    """Whether statements wait for the lock that `held` holds."""

    def __init__(self, locker: asyncpg.Connection, observer: asyncpg.Connection) -> None:
        self._locker = locker
        self._observer = observer

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        async with self._locker.transaction():
            await self._locker.execute(f"LOCK TABLE {LOCKED} IN ACCESS EXCLUSIVE MODE")
            yield

    async def is_waited_for(self) -> bool:
        return await self._observer.fetchval(WAITING) > 0

    async def is_free(self) -> bool:
        return not await self.is_waited_for()


@asynccontextmanager
async def serving(dsn: str, **settings) -> AsyncIterator[tuple[WholeApi, Database]]:
    locker, observer = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    try:
        # What a cache answers waits for no statement.
        without = {"result_cache_mb": 0, "relation_cache_mb": 0}
        async with whole_api(dsn, **without, **settings) as api:
            await api.call("Schema.Write", {"tenant_id": TENANT, "schema": SCHEMA})
            fact = {"entity": DOC, "relation": "viewer", "subject": ANN}
            written = {"tenant_id": TENANT, "metadata": {}, "tuples": [fact]}
            await api.call("Data.Write", written)
            for method, body in QUESTIONS.items():
                await answered(api, method, body)
            yield api, Database(locker, observer)
    finally:
        await locker.close()
        await observer.close()


async def answered(api: WholeApi, method: str, body: dict) -> None:
    assert (await api.post(method, body)).status_code == 200, method


async def cancelled(api: WholeApi, method: str, body: dict, begun: Awaitable) -> None:
    call = api.call(method, body)

    async def ask() -> None:
        with pytest.raises(asyncio.CancelledError):
            await result(call)

    async with asyncio.TaskGroup() as group:
        group.create_task(ask())
        await begun
        call.cancel()


async def closed(api: WholeApi, method: str, body: dict, begun: Awaitable) -> None:
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(api.post(method, body))
        await begun
        asking.cancel()  # which closes the connection


async def too_late(call: aio.Call) -> None:
    with pytest.raises(aio.AioRpcError) as caught:
        await result(call)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize(
    ("grpc_server", "leave"), [("grpcio", cancelled), ("native", cancelled), ("grpcio", closed)]
)
async def test_a_caller_that_leaves_takes_its_statements_along(
    migrated_database: Callable[..., Awaitable[str]], grpc_server: str, leave: Callable
) -> None:
    dsn = await migrated_database()
    async with serving(dsn, grpc_server=grpc_server) as (api, database):
        for method, body in QUESTIONS.items():
            async with database.held():
                await leave(api, method, body, until(database.is_waited_for))
                await until(database.is_free)
            await answered(api, method, body)


@pytest.mark.parametrize("grpc_server", ["grpcio", "native"])
async def test_a_deadline_ends_the_statements_too(
    migrated_database: Callable[..., Awaitable[str]], grpc_server: str
) -> None:
    dsn = await migrated_database()
    async with serving(dsn, grpc_server=grpc_server) as (api, database):
        async with database.held(), asyncio.TaskGroup() as group:
            for method, body in QUESTIONS.items():
                group.create_task(too_late(api.call(method, body, timeout=3)))
            await until(database.is_waited_for)
            await until(database.is_free)
        for method, body in QUESTIONS.items():
            await answered(api, method, body)


async def test_what_takes_longer_than_a_call_may_is_ended(
    migrated_database: Callable[..., Awaitable[str]],
) -> None:
    dsn = await migrated_database()
    async with serving(dsn, request_timeout_s=5) as (api, database):
        async with database.held():
            async with asyncio.TaskGroup() as group:
                asking = [group.create_task(api.post(*asked)) for asked in QUESTIONS.items()]
            assert [task.result().status_code for task in asking] == [504] * len(QUESTIONS)
            await until(database.is_free)
        for method, body in QUESTIONS.items():
            await answered(api, method, body)
