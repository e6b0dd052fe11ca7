"""Concurrent writes of a tenant share a database transaction, and nothing of it shows."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from itertools import count

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grantlog.errors import GrantlogError, StaleSchemaError, UnavailableError
from grantlog.ports.writer import Committed, PutFacts, RemoveFacts, Step
from grantlog.store.postgres.writer import WriterLimits, open_writer
from grantlog.store.postgres.writer.committing import Committer
from tests.integration.write.conftest import Place
from tests.integration.write.facts import (
    live,
    log_of,
    past,
    put,
    remove,
    revisions,
    where,
    where_attributes,
    write,
)
from tests.waiting import until

_tuples = st.builds(
    "doc:{}#{}@{}".format,
    st.sampled_from("12"),
    st.sampled_from(["viewer", "owner"]),
    st.sampled_from(["user:1", "user:2", "team:a#member"]),
)
_names = st.builds("doc:{}${}".format, st.sampled_from("12"), st.sampled_from("ab"))
_values = st.sampled_from(["integer:1", "double:1", "boolean:true", "string:x", "string[]:x,y"])
_attributes = st.builds("{}|{}".format, _names, _values)


@st.composite
def _steps(draw: st.DrawFn) -> Step:
    match draw(st.integers(0, 4)):
        case 0 | 1:
            tuples = draw(st.lists(_tuples, max_size=4, unique=True))
            attributes = draw(st.lists(_attributes, max_size=2))
            return put(*tuples, *attributes)
        case 2:
            tuples = draw(st.lists(_tuples, max_size=3))
            return remove(*tuples, *draw(st.lists(_names, max_size=2)))
        case 3:
            ids = draw(st.lists(st.sampled_from("12"), max_size=1))
            relation = draw(st.sampled_from(["", "viewer"]))
            subject = draw(st.sampled_from(["", "user"]))
            return where(
                entity_type="doc", entity_ids=tuple(ids), relation=relation, subject_type=subject
            )
        case _:
            names = draw(st.lists(st.sampled_from("ab"), max_size=1))
            return where_attributes(entity_type="doc", attributes=tuple(names))


_writes = st.tuples(st.lists(_steps(), max_size=3), st.sampled_from(["", "", "", "other"]))
_numbers = count(1)


def _told(outcome: Committed | GrantlogError) -> tuple[object, ...]:
    if isinstance(outcome, Committed):
        return (outcome.revision, outcome.schema_version, outcome.commit_time is None)
    return (type(outcome), outcome.explanation)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(before=st.lists(_writes, max_size=3), group=st.lists(_writes, min_size=2, max_size=8))
async def test_a_group_is_its_writes_one_after_another(
    place: Place, before: list[tuple[list[Step], str]], group: list[tuple[list[Step], str]]
):
    number = next(_numbers)
    committer = Committer(place.pool, WriterLimits(changes_per_write_max=6), os.urandom)

    def intents(tenant: str, writes: list[tuple[list[Step], str]]):
        return [write(*steps, tenant=tenant, schema_version=v) for steps, v in writes]

    grouped, alone = f"grouped{number}", f"alone{number}"
    for intent in intents(grouped, before):
        await committer.commit([intent])
    together = await committer.commit(intents(grouped, group))
    singly = []
    for place_in_order, intent in enumerate(intents(alone, [*before, *group])):
        outcome = await committer.commit([intent])
        if place_in_order >= len(before):
            singly += outcome
    assert [_told(outcome) for outcome in together] == [_told(outcome) for outcome in singly]
    one, other = [await log_of(place.pool, tenant) for tenant in (grouped, alone)]
    assert [entry.body for entry in one] == [entry.body for entry in other]
    assert await live(place.pool, grouped) == await live(place.pool, alone)
    assert await past(place.pool, grouped) == await past(place.pool, alone)


async def test_fifty_writers_of_several_tenants_leave_no_gap(place: Place):
    seen: dict[str, list[int]] = {}

    async def client(number: int) -> None:
        tenant = f"tenant{number % 4}"
        mine = []
        for turn in range(8):
            fact = put(f"doc:{number}-{turn}#viewer@user:1")
            mine.append((await place.writer.write(write(fact, tenant=tenant))).revision)
        assert mine == sorted(set(mine))
        seen.setdefault(tenant, []).extend(mine)

    async with asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(client(number))
    assert len(seen) == 4
    for tenant, taken in seen.items():
        log = await log_of(place.pool, tenant)
        assert sorted(taken) == revisions(log) == list(range(1, len(log) + 1))
        times = [entry.commit_time for entry in log]
        assert times == sorted(set(times))
        assert len(await live(place.pool, tenant)) == len(log)


async def test_two_nodes_write_one_tenant_without_a_gap(place: Place):
    async with open_writer(place.pool) as other:

        async def client(number: int) -> int:
            writer = (place.writer, other)[number % 2]
            return (await writer.write(write(put(f"doc:{number}#viewer@user:1")))).revision

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(client(number)) for number in range(40)]
    assert sorted(task.result() for task in tasks) == list(range(1, 41))
    assert revisions(await log_of(place.pool)) == list(range(1, 41))


async def test_concurrent_writes_share_database_transactions(place: Place):
    await _all(place, *(write(put(f"doc:{number}#viewer@user:1")) for number in range(64)))
    rows = await place.pool.fetch(
        "SELECT DISTINCT xmin::text FROM transactions WHERE tenant_id = 'acme'"
    )
    assert len(rows) < 8


async def test_concurrent_deletes_both_take_effect(place: Place):
    await place.writer.write(write(put("doc:1#viewer@user:1", "doc:2#viewer@user:1")))
    async with open_writer(place.pool) as other, asyncio.TaskGroup() as group:
        group.create_task(place.writer.write(write(where(entity_ids=("1",)))))
        group.create_task(other.write(write(where(entity_ids=("2",)))))
    assert await live(place.pool) == set()
    assert len(await log_of(place.pool)) == 3


async def test_a_writer_that_waited_for_the_head_sees_what_it_waited_for(place: Place):
    """The statement that waits has a snapshot from before the wait: nothing else may read in it."""
    await place.writer.write(write(put("doc:1#viewer@user:1")))
    async with open_writer(place.pool) as other, place.pool.acquire() as holder:
        async with holder.transaction():
            await holder.execute("SELECT 1 FROM heads WHERE tenant_id = 'acme' FOR UPDATE")
            async with asyncio.TaskGroup() as group:
                first = group.create_task(place.writer.write(write(put("doc:2#viewer@user:1"))))
                await until(lambda: _waiting(place, 1))
                second = group.create_task(other.write(write(where(entity_type="doc"))))
                await until(lambda: _waiting(place, 2))
                group.create_task(holder.execute("COMMIT"))
        assert sorted([first.result().revision, second.result().revision]) == [2, 3]
    removed = (await log_of(place.pool))[second.result().revision - 1].body
    assert len(removed.changes) == second.result().revision - 1


async def _waiting(place: Place, number: int) -> bool:
    waiting = await place.pool.fetchval(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype IN ('tuple', 'transactionid')"
    )
    return waiting == number


async def test_a_write_that_is_refused_does_not_fail_its_group(place: Place):
    results = await _all(
        place,
        write(put("doc:1#viewer@user:1")),
        write(put("doc:2#viewer@user:1"), schema_version="another"),
        write(put("doc:3#viewer@user:1")),
    )
    assert [type(result) for result in results] == [Committed, StaleSchemaError, Committed]
    assert [r.revision for r in results if isinstance(r, Committed)] == [1, 2]


async def test_a_write_that_breaks_the_transaction_does_not_fail_its_group(place: Place):
    """An id that no validation let through reaches the database, which refuses the statement."""
    broken = put("doc:2#viewer@user:1").tuples[0]
    broken = broken._replace(entity=broken.entity._replace(id="a\x00b"))
    results = await _all(
        place,
        write(put("doc:1#viewer@user:1")),
        write(PutFacts((broken,))),
        write(put("doc:3#viewer@user:1")),
        write(RemoveFacts((broken,))),
    )
    assert [isinstance(result, Committed) for result in results] == [True, False, True, False]
    assert await live(place.pool) == {"doc:1#viewer@user:1", "doc:3#viewer@user:1"}


async def test_filters_that_match_too_much_together_go_alone(place: Place):
    await place.writer.write(write(put(*(f"doc:{n}#viewer@user:{n % 3}" for n in range(30)))))
    limits = WriterLimits(changes_per_write_max=12, group_facts_max=12)
    async with open_writer(place.pool, limits=limits) as writer, asyncio.TaskGroup() as group:
        for user in "012":
            group.create_task(writer.write(write(where(subject_type="user", subject_ids=(user,)))))
    assert await live(place.pool) == set()
    assert len(await log_of(place.pool)) == 4


async def test_a_full_queue_refuses_and_an_empty_one_takes_again(place: Place):
    async with open_writer(place.pool, limits=WriterLimits(queue_writes_max=4)) as writer:

        async def attempt(number: int) -> bool:
            try:
                await writer.write(write(put(f"doc:{number}#viewer@user:1")))
            except UnavailableError:
                return False
            return True

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(attempt(number)) for number in range(6)]
        assert Counter(task.result() for task in tasks) == {True: 4, False: 2}
        assert await attempt(9)


async def test_a_caller_that_gives_up_does_not_stop_the_others(place: Place):
    async with place.pool.acquire() as holder, holder.transaction():
        await place.writer.write(write(put("doc:0#viewer@user:1")))
        await holder.execute("SELECT 1 FROM heads WHERE tenant_id = 'acme' FOR UPDATE")
        async with asyncio.TaskGroup() as group:
            running = group.create_task(place.writer.write(write(put("doc:1#viewer@user:1"))))
            await until(lambda: _waiting(place, 1))
            queued = group.create_task(place.writer.write(write(put("doc:2#viewer@user:1"))))
            other = group.create_task(place.writer.write(write(put("doc:3#viewer@user:1"))))
            await asyncio.sleep(0)
            running.cancel()
            queued.cancel()
            group.create_task(holder.execute("COMMIT"))
    assert other.result().revision == 3
    held = await live(place.pool)
    assert held == {"doc:0#viewer@user:1", "doc:1#viewer@user:1", "doc:3#viewer@user:1"}


async def test_a_writer_that_closes_commits_what_waits_and_takes_nothing_more(place: Place):
    async with asyncio.TaskGroup() as group:
        async with open_writer(place.pool) as writer:
            tasks = [
                group.create_task(writer.write(write(put(f"doc:{n}#viewer@user:1"))))
                for n in range(5)
            ]
            await asyncio.sleep(0)
        assert sorted([(await task).revision for task in tasks]) == [1, 2, 3, 4, 5]
    with pytest.raises(UnavailableError, match="nothing was committed"):
        await writer.write(write(put("doc:9#viewer@user:1")))


async def test_a_write_notifies_nobody_within_its_transaction(place: Place):
    heard: list[object] = []
    connection = await asyncpg.connect(place.dsn)
    try:
        await connection.add_listener("grantlog_changes", lambda *event: heard.append(event))
        await place.writer.write(write(put("doc:1#viewer@user:1")))
        await connection.execute("SELECT pg_notify('grantlog_changes', 'after')")
        await until(lambda: bool(heard))
    finally:
        await connection.close()
    assert [event[3] for event in heard] == ["after"]


async def _all(place: Place, *intents: object) -> list[Committed | GrantlogError]:
    """Write all at once; what became of each, in order."""

    async def outcome(intent: object) -> Committed | GrantlogError:
        try:
            return await place.writer.write(intent)
        except GrantlogError as error:
            return error

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(outcome(intent)) for intent in intents]
    return [task.result() for task in tasks]
