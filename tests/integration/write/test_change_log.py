"""The change log on Postgres: what moved, up to when that is complete, and reading it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import asyncpg
import pytest

from grantlog.changelog.postgres.log import (
    ROWS_FETCHED_FIRST,
    PostgresChangeLog,
    open_change_log,
)
from grantlog.changelog.postgres.mark import LONG_AGO
from grantlog.errors import CorruptionError, InvalidInputError
from grantlog.model.ids import Revision
from grantlog.store.postgres.epoch import open_epoch
from grantlog.store.postgres.signal import open_signal
from grantlog.store.postgres.writer import open_writer
from tests.integration.write.conftest import Place
from tests.integration.write.facts import ACME, log_of, put, write
from tests.waiting import until


@pytest.fixture
async def log(place: Place) -> AsyncIterator[PostgresChangeLog]:
    async with open_change_log(place.pool, listen_dsn=place.dsn) as reader:
        yield reader


async def _now(place: Place) -> datetime:
    return await place.pool.fetchval("SELECT clock_timestamp()")


async def test_all_heads_come_first_and_then_what_moved(place: Place, log: PostgresChangeLog):
    await place.writer.write(write(put("doc:1#viewer@user:1")))
    everything = await log.heads_moved(None)
    assert everything.heads.keys() == {"acme", "t1"}
    entry = (await log_of(place.pool))[-1]
    position = everything.heads[ACME]
    assert (position.epoch, position.revision, position.digest) == (1, 1, entry.digest)
    assert (await log.heads_moved(everything.mark)).heads == {}
    await place.writer.write(write(put("doc:2#viewer@user:1")))
    moved = await log.heads_moved(everything.mark)
    assert {tenant: head.revision for tenant, head in moved.heads.items()} == {"acme": 2}


async def test_a_transaction_under_way_at_a_mark_is_not_missed(
    place: Place, log: PostgresChangeLog
):
    """The later transaction commits first: its number is higher, the earlier one's is lower."""
    await place.writer.write(write(put("doc:1#viewer@user:1"), tenant="early"))
    connection = await asyncpg.connect(place.dsn)
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(
            "UPDATE heads SET changed_xid = pg_current_xact_id() WHERE tenant_id = 'early'"
        )
        await place.writer.write(write(put("doc:1#viewer@user:1"), tenant="late"))
        before = await log.heads_moved(None)
        await transaction.commit()
        assert "early" in (await log.heads_moved(before.mark)).heads
    finally:
        await connection.close()


async def test_an_idle_log_is_complete_up_to_now(place: Place, log: PostgresChangeLog):
    written = await place.writer.write(write(put("doc:1#viewer@user:1")))
    asked = await _now(place)
    moved = await log.heads_moved(None)
    assert asked <= moved.through <= await _now(place)
    assert written.commit_time < moved.through


async def test_what_a_writer_under_way_may_commit_is_not_promised(
    place: Place, log: PostgresChangeLog
):
    idle = await log.heads_moved(None)
    async with place.pool.acquire() as writer:
        transaction = writer.transaction()
        await transaction.start()
        await writer.execute("SELECT 1 FROM heads WHERE tenant_id = 't1' FOR NO KEY UPDATE")
        commit_time = await writer.fetchval("SELECT clock_timestamp()")
        busy = await log.heads_moved(idle.mark)
        assert busy.through == idle.through < commit_time
        still = await log.heads_moved(busy.mark)
        assert still.through == idle.through
        assert (await log.heads_moved(None)).through == LONG_AGO
        await transaction.commit()
    assert (await log.heads_moved(still.mark)).through > commit_time


async def test_the_promise_goes_on_under_writers_that_never_pause(
    place: Place, log: PostgresChangeLog
):
    """Each writer ends only after the next began, so that there is always one under way."""
    moved = await log.heads_moved(None)
    start = moved.through
    connections = [await asyncpg.connect(place.dsn) for _ in range(2)]
    try:
        for turn in range(6):
            ends, begins = connections[turn % 2], connections[1 - turn % 2]
            await begins.execute("BEGIN")
            await begins.execute("SELECT 1 FROM heads WHERE tenant_id = 't1' FOR SHARE")
            if turn:
                await ends.execute("COMMIT")
            moved = await log.heads_moved(moved.mark)
        assert moved.through > start
    finally:
        for connection in connections:
            await connection.close()


async def test_no_transaction_turns_up_behind_a_promised_time(place: Place, log: PostgresChangeLog):
    """Under concurrent writers: whatever has a commit time up to T was in the heads by then."""
    done = asyncio.Event()

    async def client(number: int) -> None:
        for turn in range(25):
            tenant = f"tenant{(number + turn) % 5}"
            await place.writer.write(
                write(put(f"doc:{number}-{turn}#viewer@user:1"), tenant=tenant)
            )

    async def clients() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(12):
                group.create_task(client(number))
        done.set()

    seen: list[tuple[datetime, dict[str, int]]] = []
    known: dict[str, int] = {}
    async with asyncio.TaskGroup() as group:
        group.create_task(clients())
        mark = None
        while not done.is_set():
            moved = await log.heads_moved(mark)
            mark = moved.mark
            known |= {tenant: head.revision for tenant, head in moved.heads.items()}
            seen.append((moved.through, dict(known)))
    times = await place.pool.fetch("SELECT tenant_id, revision, commit_time FROM transactions")
    assert len(seen) > 2
    for through, heads in seen:
        for row in times:
            if row["commit_time"] <= through:
                assert row["revision"] <= heads[row["tenant_id"]]
    assert [through for through, _ in seen] == sorted(through for through, _ in seen)


async def test_another_epoch_moves_every_head(place: Place, log: PostgresChangeLog):
    await place.writer.write(write(put("doc:1#viewer@user:1")))
    before = await log.heads_moved(None)
    new = await open_epoch(place.dsn, reason="a test")
    assert new > 1
    moved = await log.heads_moved(before.mark)
    assert {tenant: head.epoch for tenant, head in moved.heads.items()} == {"acme": new, "t1": new}


async def test_a_mark_of_another_server_means_everything(place: Place, log: PostgresChangeLog):
    await place.writer.write(write(put("doc:1#viewer@user:1")))
    mark = (await log.heads_moved(None)).mark
    identity = await place.pool.fetchval("SELECT system_identifier::text FROM pg_control_system()")
    assert (await log.heads_moved(mark)).heads == {}
    assert (await log.heads_moved(mark.replace(identity, "1"))).heads.keys() == {"acme", "t1"}


async def test_a_mark_that_is_none_is_refused(log: PostgresChangeLog):
    for text in ("nonsense", "[]", '["a", "b", "c", null, []]'):
        with pytest.raises(InvalidInputError):
            await log.heads_moved(text)


async def test_reading_returns_whole_transactions_in_bounded_pages(
    place: Place, log: PostgresChangeLog
):
    for number in range(6):
        facts = put(*(f"doc:{number}-{n}#viewer@user:1" for n in range(number + 1)))
        await place.writer.write(write(facts))
    every = await log_of(place.pool)
    assert list(await log.read(ACME, after=Revision(0), changes_max=1000)) == every
    assert list(await log.read(ACME, after=Revision(0), changes_max=7)) == every[:3]
    assert list(await log.read(ACME, after=Revision(4), changes_max=1)) == every[4:5]
    assert list(await log.read(ACME, after=Revision(6), changes_max=1)) == []


@pytest.mark.parametrize("lacking", [-1, 0, 1, ROWS_FETCHED_FIRST])
async def test_as_many_transactions_as_one_statement_brings_are_read_like_others(
    place: Place, log: PostgresChangeLog, lacking: int
):
    for number in range(ROWS_FETCHED_FIRST + 1):
        await place.writer.write(write(put(f"doc:{number}#viewer@user:1")))
    every = await log_of(place.pool)
    after = Revision(1 + lacking)
    assert list(await log.read(ACME, after=after, changes_max=1000)) == every[after:]
    assert list(await log.read(ACME, after=after, changes_max=2)) == every[after : after + 2]


async def test_a_transaction_in_parts_is_read_whole(place: Place, log: PostgresChangeLog):
    facts = put(*(f"doc:{n}#viewer@user:{'u' * 100}" for n in range(8_000)))
    await place.writer.write(write(facts))
    await place.writer.write(write(put("doc:1#owner@user:1")))
    one, other = await log.read(ACME, after=Revision(0), changes_max=100_000)
    assert (len(one.body.changes), len(other.body.changes)) == (8_000, 1)


@pytest.mark.parametrize("gone", ["revision = 1", "revision = 2", "revision = 3 AND part = 1"])
async def test_a_gap_in_the_log_stops_the_reader(place: Place, log: PostgresChangeLog, gone: str):
    for number in range(2):
        await place.writer.write(write(put(f"doc:{number}#viewer@user:1")))
    await place.writer.write(write(put(*(f"doc:{n}#owner@user:{'u' * 99}" for n in range(8_000)))))
    await place.pool.execute(f"DELETE FROM transactions WHERE tenant_id = 'acme' AND {gone}")
    with pytest.raises(CorruptionError):
        await log.read(ACME, after=Revision(0), changes_max=100_000)


async def test_a_write_ends_the_wait_of_a_follower(place: Place, log: PostgresChangeLog):
    await log.wait(60.0)  # the connection came: signals from before may have been missed
    async with (
        open_signal(place.dsn) as signal,
        open_writer(place.pool, changed=signal.changed) as writer,
        asyncio.timeout(90),
        asyncio.TaskGroup() as group,
    ):
        waiting = group.create_task(log.wait(60.0))
        await writer.write(write(put("doc:1#viewer@user:1")))
        await waiting


async def test_a_signal_between_two_waits_ends_the_next_one(place: Place, log: PostgresChangeLog):
    await log.wait(60.0)
    async with asyncio.timeout(90):
        await place.pool.execute("NOTIFY grantlog_changes")
        await log.wait(60.0)


async def test_a_wait_ends_at_its_bound(log: PostgresChangeLog):
    await log.wait(60.0)
    async with asyncio.timeout(90):
        await log.wait(0.01)


async def test_a_lost_connection_ends_the_wait_and_comes_back(place: Place, log: PostgresChangeLog):
    await log.wait(60.0)
    kill = (
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE application_name = 'grantlog listen' AND datname = current_database()"
    )
    async with asyncio.timeout(90):
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(log.wait(60.0))
            await place.pool.fetch(kill)
            await waiting
        await log.wait(60.0)  # it came back
        await place.pool.execute("NOTIFY grantlog_changes")
        await log.wait(60.0)


async def test_without_a_connection_to_listen_on_a_wait_becomes_a_poll(place: Place):
    nowhere = "postgresql://nobody@/none?host=/nonexistent"
    async with open_change_log(place.pool, listen_dsn=nowhere) as log, asyncio.timeout(90):
        await log.wait(60.0)
        await log.wait(60.0)


async def test_signals_are_gathered(place: Place):
    heard: list[str] = []
    connection = await asyncpg.connect(place.dsn)
    try:
        await connection.add_listener("grantlog_changes", lambda *event: heard.append(event[3]))
        async with open_signal(place.dsn) as signal:
            for number in range(300):
                signal.changed(f"tenant{number % 3}")
            await until(lambda: bool(heard))
            for number in range(300):
                signal.changed(f"{'tenant' * 20}{number}")
            await until(lambda: len(heard) > 1)
    finally:
        await connection.close()
    assert heard == ["tenant0\ntenant1\ntenant2", "*"]
