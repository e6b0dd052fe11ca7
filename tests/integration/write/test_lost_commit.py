"""A connection that breaks at COMMIT: the caller is told the truth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from grantlog.errors import UnavailableError
from grantlog.store.postgres.primary import open_primary_pool
from grantlog.store.postgres.writer import PostgresWriter, WriterLimits, open_writer
from tests.integration.write.conftest import Place
from tests.integration.write.facts import live, log_of, new_id, put, where, write
from tests.integration.write.proxy import Cut, Proxy, proxied
from tests.waiting import until


@dataclass
class Line:
    proxy: Proxy
    writer: PostgresWriter


@pytest.fixture
async def line(place: Place) -> AsyncIterator[Line]:
    """A writer behind the proxy; `place` looks at the same database past it."""
    async with (
        proxied(place.dsn) as (proxy, dsn),
        open_primary_pool(dsn, size_max=3, application_name="proxied") as pool,
        open_writer(pool, limits=WriterLimits(outcome_wait_s_max=2.0)) as writer,
    ):
        yield Line(proxy, writer)


@pytest.mark.parametrize("cut", [Cut.AFTER, Cut.BEFORE], ids=lambda cut: cut.name)
async def test_a_lost_commit_is_one_revision_whatever_became_of_it(
    place: Place, line: Line, cut: Cut
):
    line.proxy.next_commits(cut)
    committed = await line.writer.write(write(put("doc:1#viewer@user:1")))
    log = await log_of(place.pool)
    assert [(committed.revision, committed.commit_time)] == [
        (e.revision, e.commit_time) for e in log
    ]
    assert (await line.writer.write(write(put("doc:2#viewer@user:1")))).revision == 2


@pytest.mark.parametrize("cut", [Cut.AFTER, Cut.BEFORE], ids=lambda cut: cut.name)
async def test_a_group_at_a_lost_commit_keeps_every_member(place: Place, line: Line, cut: Cut):
    await line.writer.write(write(put("doc:0#viewer@user:1")))
    line.proxy.next_commits(cut)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(line.writer.write(write(put(f"doc:{n}#viewer@user:1"))))
            for n in range(1, 9)
        ]
    assert sorted(task.result().revision for task in tasks) == list(range(2, 10))
    assert len(await live(place.pool)) == len(await log_of(place.pool)) == 9


async def test_a_commit_that_the_server_still_works_on_is_waited_for(place: Place, line: Line):
    line.proxy.next_commits(Cut.LATE)
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(line.writer.write(write(put("doc:1#viewer@user:1"))))
        await until(lambda: _waits_for_lock(place))
        assert not writing.done()
        line.proxy.release.set()
    assert writing.result().revision == 1
    assert len(await log_of(place.pool)) == 1


async def test_another_writes_revision_is_not_taken_for_the_lost_one(place: Place, line: Line):
    """The COMMIT never arrived, and by the time of the look-up its revision is somebody else's."""
    line.proxy.next_commits(Cut.BEFORE, closes=True)
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(line.writer.write(write(put("doc:1#viewer@user:1"))))
        await until(lambda: not line.proxy.open.is_set())
        other = await place.writer.write(write(put("doc:2#viewer@user:2")))
        line.proxy.open.set()
    assert (other.revision, writing.result().revision) == (1, 2)
    assert len(await live(place.pool)) == len(await log_of(place.pool)) == 2


async def test_the_lost_revision_is_found_behind_which_others_have_written(
    place: Place, line: Line
):
    """The COMMIT arrived: the write is told its own revision, not that of a second try."""
    line.proxy.next_commits(Cut.AFTER, closes=True)
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(line.writer.write(write(put("doc:1#viewer@user:1"))))
        await until(lambda: not line.proxy.open.is_set())
        await until(lambda: _has(place, 1))
        removed = await place.writer.write(write(where(entity_type="doc")))
        line.proxy.open.set()
    assert (writing.result().revision, removed.revision) == (1, 2)
    assert await live(place.pool) == set()
    assert len(await log_of(place.pool)) == 2


async def test_another_write_that_bears_the_same_id_is_not_taken_for_the_lost_one(
    place: Place, line: Line
):
    line.proxy.next_commits(Cut.BEFORE, closes=True)
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(
            line.writer.write_schema("acme", "entity user {}", based_on=None, write_id=b"1")
        )
        await until(lambda: not line.proxy.open.is_set())
        await place.writer.write_schema("acme", "entity ape {}", based_on=None, write_id=b"1")
        line.proxy.open.set()
    assert writing.result().revision == 2


async def test_a_look_up_waits_for_the_commit_that_the_server_still_works_on(
    place: Place, line: Line
):
    """Looked for before it ended, it would be tried again, and meet itself."""
    line.proxy.next_commits(Cut.LATE)
    async with asyncio.TaskGroup() as group:
        creating = group.create_task(line.writer.create_tenant("acme", "Acme", write_id=new_id()))
        await until(lambda: _waits_for_lock(place))
        line.proxy.release.set()
    assert creating.result().name == "Acme"
    assert len(await log_of(place.pool, "acme")) == 1


async def _waits_for_lock(place: Place) -> bool:
    return await place.pool.fetchval(
        "SELECT count(*) > 0 FROM pg_stat_activity"
        " WHERE application_name = 'proxied' AND wait_event_type = 'Lock'"
    )


async def test_commits_that_never_reach_the_server_are_told_as_not_committed(
    place: Place, line: Line
):
    line.proxy.next_commits(Cut.BEFORE, number=9)
    with pytest.raises(UnavailableError, match="nothing was committed"):
        await line.writer.write(write(put("doc:1#viewer@user:1")))
    assert await log_of(place.pool) == []


async def test_an_outcome_that_cannot_be_looked_up_is_told_as_unknown(place: Place, line: Line):
    await line.writer.write(write(put("doc:0#viewer@user:1")))
    line.proxy.next_commits(Cut.ALONE)
    with pytest.raises(UnavailableError, match="unknown"):
        await line.writer.write(write(put("doc:1#viewer@user:1")))
    line.proxy.release.set()
    line.proxy.down = False
    await until(lambda: _has(place, 2))
    assert (await line.writer.write(write(put("doc:1#viewer@user:1")))).revision == 2


async def _has(place: Place, revisions: int) -> bool:
    return len(await log_of(place.pool)) == revisions


async def test_schema_and_tenant_writes_survive_a_lost_commit_too(place: Place, line: Line):
    line.proxy.next_commits(Cut.AFTER)
    schema = await line.writer.write_schema("acme", "entity user {}", based_on=None, write_id=b"1")
    line.proxy.next_commits(Cut.AFTER)
    record = await line.writer.create_tenant("acme", "Acme", write_id=new_id())
    line.proxy.next_commits(Cut.AFTER)
    await line.writer.delete_tenant("acme", write_id=new_id())
    log = await log_of(place.pool)
    assert [entry.revision for entry in log] == [1, 2, 3]
    assert log[0].body.version == schema.schema_version
    assert log[1].commit_time == record.created_at


async def test_idle_connections_that_the_server_ended_are_no_failure(place: Place, line: Line):
    await line.writer.write(write(put("doc:1#viewer@user:1")))
    await place.pool.fetch(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE application_name = 'proxied'"
    )
    assert (await line.writer.write(write(where(entity_type="doc")))).revision == 2


async def test_a_connection_that_ends_within_the_transaction_is_tried_again(
    place: Place, line: Line
):
    async with place.pool.acquire() as holder, holder.transaction():
        await holder.execute("SELECT 1 FROM heads WHERE tenant_id = 't1' FOR UPDATE")
        async with asyncio.TaskGroup() as group:
            fact = put("doc:1#viewer@user:1")
            writing = group.create_task(line.writer.write(write(fact, tenant="t1")))
            await until(lambda: _waits_for_lock(place))
            await place.pool.fetch(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE application_name = 'proxied' AND wait_event_type = 'Lock'"
            )
            await holder.execute("COMMIT")
    assert writing.result().revision == 2
