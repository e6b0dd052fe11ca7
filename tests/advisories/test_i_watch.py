"""Group I: what a watcher hears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import asyncpg
import pytest
from grpc import aio

from grantlog.store.postgres.collect import collect_window
from grantlog.store.postgres.pool import INDEX_PLANS, open_pool
from tests.advisories.doors import as_json, check, put, put_schema, remove
from tests.advisories.node import Node, new_tenant, open_node
from tests.advisories.test_i_snapshots import foreign_transaction

SCHEMA = """entity user {}
entity doc { relation viewer @user  permission view = viewer }"""
NewDatabase = Callable[..., Awaitable[str]]


@pytest.fixture
async def nodes(migrated_database: NewDatabase) -> AsyncIterator[tuple[Node, Node]]:
    """Two nodes over one database, with heartbeats often."""
    dsn = await migrated_database()
    async with (
        open_node(dsn, watch_heartbeat_s=0.2) as one,
        open_node(dsn, watch_heartbeat_s=0.2) as other,
    ):
        yield one, other


def watching(node: Node, tenant: str, token: str = "") -> aio.UnaryStreamCall:
    return node.grpc.opened("Watch/Watch", tenant, {"snap_token": token})


async def heard(call: aio.UnaryStreamCall, count: int) -> list[tuple[str, list[str]]]:
    """The next tokens with changes, as `+1` and `-1` for a document."""
    found: list[tuple[str, list[str]]] = []
    async with asyncio.timeout(60):
        while len(found) < count:
            message = await call.read()
            assert message is not aio.EOF
            changes = as_json(message)["changes"]
            if changes["data_changes"]:
                found.append((changes["snap_token"], [told(c) for c in changes["data_changes"]]))
    return found


def told(change: dict) -> str:
    sign = {"OPERATION_CREATE": "+", "OPERATION_DELETE": "-"}[change["operation"]]
    return sign + change["tuple"]["entity"]["id"]


async def collect_everything(dsn: str) -> None:
    """Collect all history that a window of no time at all leaves out."""
    async with open_pool(
        dsn, size_max=1, application_name="collector", settings=INDEX_PLANS
    ) as pool:
        await collect_window(pool, timedelta(0))


async def test_spicedb_1272_and_permify_watch_overlapping_transactions_lose_nothing(nodes):
    """Permify's watch asks for later commit times below the oldest running transaction id; of two
    transactions that overlap it may never tell one. SpiceDB went round in an endless loop. Here two
    nodes write at once while somebody else's transaction stays open, and watchers on both, from
    the start and from every token, hear each write once and in one order.
    """
    tenant = new_tenant()
    await put_schema(nodes[0].rest, tenant, SCHEMA)
    start = await put(nodes[0].rest, tenant, "doc:start#viewer@user:ann")
    live = [watching(node, tenant, start) for node in nodes]
    async with foreign_transaction(nodes[0].dsn):
        async with asyncio.TaskGroup() as group:
            for n in range(30):
                door = nodes[n % 2].doors[n // 2 % 2]
                group.create_task(put(door, tenant, f"doc:{n}#viewer@user:ann"))
        everything = await heard(live[0], 30)
        assert await heard(live[1], 30) == everything
    assert sorted(doc for _, docs in everything for doc in docs) == sorted(
        f"+{n}" for n in range(30)
    )
    for at, (token, _) in enumerate(everything[:-1]):
        call = watching(nodes[at % 2], tenant, token)
        assert await heard(call, 29 - at) == everything[at + 1 :]
        call.cancel()
    for call in live:
        call.cancel()


async def test_permify_watch_writes_of_one_moment_are_all_told(nodes):
    """Permify orders by commit time and skips a transaction with the same microsecond. Here writes
    that share a database transaction have revisions of their own, and each token goes on exactly
    behind its own.
    """
    tenant = new_tenant()
    await put_schema(nodes[0].rest, tenant, SCHEMA)
    start = await put(nodes[0].grpc, tenant, "doc:start#viewer@user:ann")
    async with asyncio.TaskGroup() as group:
        writes = [
            group.create_task(put(nodes[0].grpc, tenant, f"doc:{n}#viewer@user:ann"))
            for n in range(40)
        ]
    tokens = {task.result() for task in writes}
    moments = "SELECT count(DISTINCT commit_time) FROM transactions WHERE tenant_id = $1"
    assert await nodes[0].ask(moments, tenant) == 42
    call = watching(nodes[1], tenant, start)
    following = await heard(call, 40)
    assert {token for token, _ in following} == tokens
    call.cancel()
    for at in (0, 1, 20, 38):
        call = watching(nodes[1], tenant, following[at][0])
        assert await heard(call, 39 - at) == following[at + 1 :]
        call.cancel()


async def test_permify_watch_a_position_that_was_collected_still_goes_on(nodes):
    """Permify's garbage collection removed the transaction a cursor named; the watch then stayed
    open and said nothing, and no error. Here the log outlives the history that is collected: every
    old token hears exactly what came after it.
    """
    node = nodes[0]
    tenant = new_tenant()
    await put_schema(node.rest, tenant, SCHEMA)
    tokens = []
    for n in range(6):
        tokens.append(await put(node.rest, tenant, f"doc:{n}#viewer@user:ann"))
        tokens.append(await remove(node.rest, tenant, f"doc:{n}#viewer@user:ann"))
    await collect_everything(node.dsn)
    expected = [[f"{sign}{n}"] for n in range(6) for sign in "+-"]
    for at, token in enumerate(tokens[:-1]):
        call = watching(nodes[at % 2], tenant, token)
        following = await heard(call, len(tokens) - 1 - at)
        assert [docs for _, docs in following] == expected[at + 1 :]
        assert [t for t, _ in following] == tokens[at + 1 :]
        call.cancel()


async def test_spicedb_3210_what_is_collected_is_not_told_as_a_deletion(nodes):
    """SpiceDB told the removal of expired rows as deletions. Here collecting is no change: who
    watches hears of the next write, and of nothing in between.
    """
    node = nodes[0]
    tenant = new_tenant()
    await put_schema(node.rest, tenant, SCHEMA)
    await put(node.rest, tenant, "doc:1#viewer@user:ann doc:2#viewer@user:ann")
    await remove(node.rest, tenant, "doc:1#viewer@user:ann")
    call = watching(nodes[1], tenant)
    await call.read()
    await collect_everything(node.dsn)
    token = await put(node.rest, tenant, "doc:3#viewer@user:ann")
    assert await heard(call, 1) == [(token, ["+3"])]
    call.cancel()


async def test_spicedb_3114_a_write_without_effect_has_a_token_to_go_on_from(nodes):
    """SpiceDB gave no checkpoint for writes that change nothing, so that who waits for one waits
    for ever. Here such a write answers the head's token, a watch from it begins at once, and an
    idle watcher is told where it stands, again and again.
    """
    node = nodes[0]
    tenant = new_tenant()
    await put_schema(node.rest, tenant, SCHEMA)
    token = await put(node.rest, tenant, "doc:1#viewer@user:ann")
    for door in node.doors:
        assert await put(door, tenant, "doc:1#viewer@user:ann") == token
        assert await remove(door, tenant, "doc:none#viewer@user:ann") == token
    call = watching(nodes[1], tenant, token)
    for _ in range(3):
        message = await call.read()
        assert message.changes.snap_token == token
        assert not message.changes.data_changes
    call.cancel()


async def test_spicedb_3211_a_bulk_load_does_not_hold_up_the_others(nodes):
    """SpiceDB's checkpoints stalled while a bulk load was running. Here a tenant whose writer is
    stuck in the middle of its transaction holds up nobody else's watch, nor their writes.
    """
    node = nodes[0]
    loading, quiet = new_tenant(), new_tenant()
    for tenant in (loading, quiet):
        await put_schema(node.rest, tenant, SCHEMA)
    call = watching(nodes[1], quiet)
    await call.read()
    holder = await asyncpg.connect(node.dsn)
    try:
        async with asyncio.TaskGroup() as group, holder.transaction():
            await holder.execute("SELECT FROM heads WHERE tenant_id = $1 FOR UPDATE", loading)
            facts = [f"doc:{n}#viewer@user:ann" for n in range(1000)]
            stuck = group.create_task(put(node.rest, loading, facts))
            token = await put(node.grpc, quiet, "doc:1#viewer@user:ann")
            assert await heard(call, 1) == [(token, ["+1"])]
            assert not stuck.done()
    finally:
        await holder.close()
    assert await check(node.rest, loading, "doc:999#view@user:ann", snap_token=stuck.result())
    call.cancel()


async def test_openfga_3152_pages_of_facts_with_delimiters_in_them(nodes):
    """OpenFGA's ReadChanges broke on a `|` in what its cursor held. Here pages of facts, however
    small, make up the whole, whatever characters their ids have.
    """
    tenant = new_tenant()
    await put_schema(nodes[0].rest, tenant, SCHEMA)
    ids = ("a:b", "a@b", "*", ":", "@", "a.b", "-", "a+b", "A:b", "a:b@c:d")
    facts = [
        {"entity": {"type": "doc", "id": one}, "relation": "viewer",
         "subject": {"type": "user", "id": other, "relation": ""}} for one in ids for other in ids
    ]  # fmt: skip
    await nodes[0].rest.call("Data/Write", tenant, {"metadata": {}, "tuples": facts})
    for door, size in zip(nodes[0].doors, (1, 7), strict=True):
        found, token = [], ""
        while True:
            body = {"metadata": {}, "filter": {}, "page_size": size, "continuous_token": token}
            answer = await door.call("Data/ReadRelationships", tenant, body)
            found += answer["tuples"]
            token = answer["continuous_token"]
            if not token:
                break
        assert len(found) == len(facts)
        assert sorted(map(str, found)) == sorted(map(str, facts))
