"""Group I: which writes an answer has seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from grantlog.model.ids import TenantId
from grantlog.model.token import decode_token
from grantlog.ports.log import Position
from tests.advisories.doors import bulk, check, put, put_schema, remove
from tests.advisories.node import Node, new_tenant, open_node
from tests.contract.postgres import postgres_primary, postgres_replica

SCHEMA = """entity user {}
entity doc { relation viewer @user  permission view = viewer }"""
NewDatabase = Callable[..., Awaitable[str]]


@pytest.fixture
async def nodes(migrated_database: NewDatabase) -> AsyncIterator[tuple[Node, Node]]:
    """Two nodes over one database."""
    dsn = await migrated_database()
    async with open_node(dsn) as one, open_node(dsn) as other:
        yield one, other


@asynccontextmanager
async def foreign_transaction(dsn: str) -> AsyncIterator[None]:
    """For the block, a writing transaction of somebody else's is open on the same server."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await connection.execute("CREATE TABLE of_others (n integer)")
            await connection.execute("INSERT INTO of_others VALUES (1)")
            yield
    finally:
        await connection.close()


def revision(tenant: str, token: str) -> int:
    return decode_token(TenantId(tenant), token).revision


async def test_permify_2573_concurrent_deletions_have_places_of_their_own_and_all_count(nodes):
    """Permify gave two concurrent deletions one snapshot, and checks ignored one of them. Here each
    has its own revision, and behind the last one nothing of either is left.
    """
    tenant = new_tenant()
    doors = [door for node in nodes for door in node.doors]
    await put_schema(doors[0], tenant, SCHEMA)
    for _ in range(5):
        facts = [f"doc:{n}#viewer@user:ann" for n in range(len(doors) * 3)]
        await put(doors[0], tenant, facts)
        async with asyncio.TaskGroup() as group:
            gone = [
                group.create_task(remove(doors[n % len(doors)], tenant, fact))
                for n, fact in enumerate(facts)
            ]
        tokens = [task.result() for task in gone]
        assert len({revision(tenant, token) for token in tokens}) == len(tokens)
        questions = [fact.replace("viewer", "view") for fact in facts]
        for door in doors:
            assert not any(await bulk(door, tenant, questions))
            for token, question in zip(tokens, questions, strict=True):
                assert not await check(door, tenant, question, snap_token=token)


async def test_spicedb_2958_every_token_sees_exactly_what_was_committed_up_to_it(nodes):
    """SpiceDB ordered overlapping Postgres revisions wrongly. Here, while two nodes write one
    tenant and another transaction stays open, each token's revision holds its own write and those
    of lower revisions, and none of higher ones.
    """
    tenant = new_tenant()
    doors = [door for node in nodes for door in node.doors]
    await put_schema(doors[0], tenant, SCHEMA)
    async with foreign_transaction(nodes[0].dsn), asyncio.TaskGroup() as group:
        written = [
            group.create_task(put(doors[n % len(doors)], tenant, f"doc:{n}#viewer@user:ann"))
            for n in range(24)
        ]
    places = [revision(tenant, task.result()) for task in written]
    assert sorted(places) == list(range(min(places), min(places) + 24))
    for place in places:
        for door in doors[:2]:
            body = {"metadata": {}, "filter": {}, "page_size": 100}
            answer = await door.call("Data/ReadRelationships", tenant, body,
                                     grantlog_as_of=str(place))  # fmt: skip
            seen = {int(fact["entity"]["id"]) for fact in answer["tuples"]}
            assert seen == {n for n, other in enumerate(places) if other <= place}


async def test_crdb_fully_consistent_is_read_after_write_on_every_node(nodes):
    """SpiceDB's `fully_consistent` was not read-after-write on CockroachDB. Here what one node
    acknowledged is seen by another one's next answer, without any token, and under an open
    transaction of somebody else's.
    """
    one, other = nodes
    tenant = new_tenant()
    await put_schema(one.rest, tenant, SCHEMA)
    async with foreign_transaction(one.dsn):
        for turn in range(8):
            writing, reading = (one, other) if turn % 2 else (other, one)
            for door in reading.doors:
                await put(writing.grpc, tenant, "doc:1#viewer@user:ann")
                assert await check(door, tenant, "doc:1#view@user:ann")
                await remove(writing.rest, tenant, "doc:1#viewer@user:ann")
                assert not await check(door, tenant, "doc:1#view@user:ann")


async def test_permify_3002_many_writers_of_one_tenant_do_not_fight(nodes):
    """Permify's serializable writes failed and were retried in storms. Here as many writers as
    come wait in line for the tenant's head, and each write succeeds once.
    """
    tenant = new_tenant()
    doors = [door for node in nodes for door in node.doors]
    await put_schema(doors[0], tenant, SCHEMA)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(
                put(door, tenant, ["doc:shared#viewer@user:ann", f"doc:{n}#viewer@user:ann"])
            )
            for n in range(25)
            for door in doors
        ]
    places = sorted({revision(tenant, task.result()) for task in tasks})
    assert places == list(range(2, 2 + len(places)))
    assert await nodes[0].ask(
        "SELECT count(*) FROM transactions WHERE tenant_id = $1", tenant
    ) == 1 + len(places)
    questions = [f"doc:{n}#view@user:ann" for n in range(25)]
    assert all(await bulk(doors[1], tenant, questions))


async def test_spicedb_3243_a_replica_behind_never_answers_in_the_heads_place(
    migrated_database: NewDatabase,
):
    """SpiceDB's replica guard compared one transaction id and so took a replica for fresh that had
    not seen every older write. Here, however far a replica has come, every answer is that of the
    head: what the replica has not applied comes from the primary.
    """
    dsn, copy = await migrated_database(), await migrated_database(seed=False)
    tenant = TenantId(new_tenant())
    async with (
        open_node(dsn, replica_url=copy) as node,
        postgres_primary(dsn) as primary,
        postgres_replica(copy) as replica,
    ):
        await put_schema(node.rest, tenant, SCHEMA)
        for n in range(4):
            await put(node.rest, tenant, f"doc:{n}#viewer@user:ann doc:x{n}#viewer@user:ann")
            await remove(node.rest, tenant, f"doc:x{n}#viewer@user:ann")
        head = [f"doc:{n}#view@user:ann" for n in range(4)]
        gone = [f"doc:x{n}#view@user:ann" for n in range(4)]
        body = {"metadata": {"depth": 20}, "entity_type": "doc", "permission": "view",
                "subject": {"type": "user", "id": "ann"}}  # fmt: skip
        log = await primary.history(tenant)
        for applied in range(0, len(log) + 1, 3):
            await replica.projection.apply(log[max(0, applied - 3) : applied])
            for door in node.doors:
                assert await bulk(door, tenant, head + gone) == [True] * 4 + [False] * 4
                answer = await door.call("Permission/LookupEntity", tenant, body)
                assert answer["entity_ids"] == ["0", "1", "2", "3"]
        positions = await replica.projection.positions()
        assert isinstance(positions[tenant], Position)


async def test_openfga_3155_reads_beside_a_write_leave_nothing_stale_behind(nodes):
    """In OpenFGA a cache entry that was filled while a write went on survived its invalidation.
    Here answers are asked for all the time by many, on both nodes, and the first question behind
    every acknowledgement has the new answer.
    """
    one, other = nodes
    tenant = new_tenant()
    await put_schema(one.rest, tenant, SCHEMA)
    doors = [one.grpc, other.grpc]
    stop = asyncio.Event()

    async def ask_on(door) -> None:
        while not stop.is_set():
            await check(door, tenant, "doc:1#view@user:ann")

    async with asyncio.TaskGroup() as group:
        for door in doors * 2:
            group.create_task(ask_on(door))
        try:
            for turn in range(20):
                await put(doors[turn % 2], tenant, "doc:1#viewer@user:ann")
                assert [await check(d, tenant, "doc:1#view@user:ann") for d in doors] == [True] * 2
                await remove(doors[turn % 2], tenant, "doc:1#viewer@user:ann")
                assert [await check(d, tenant, "doc:1#view@user:ann") for d in doors] == [False] * 2
        finally:
            stop.set()
