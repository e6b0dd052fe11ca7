"""Group F: what a call took is given back, however the call ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from grpc import StatusCode, aio

from tests.advisories.doors import (
    BY_NAME,
    META,
    check,
    path_of,
    put,
    put_schema,
)
from tests.advisories.node import Node, new_tenant, open_node
from tests.waiting import until

SCHEMA = """entity user {}
entity group { relation member @user @group#member }
entity doc { relation viewer @user @group#member  permission view = viewer }"""
DOCS = 3_000
TIMES = 5

ENTITIES = {"metadata": META, "entity_type": "doc", "permission": "view",
            "subject": {"type": "user", "id": "ann"}}  # fmt: skip
SUBJECTS = {"metadata": META, "entity": {"type": "doc", "id": "0000"}, "permission": "view",
            "subject_reference": {"type": "user"}}  # fmt: skip


@pytest.fixture(params=["grpcio", "native"])
async def served(request, migrated_database) -> AsyncIterator[tuple[Node, str]]:
    """A node with each gRPC server, and a tenant with many documents."""
    async with open_node(await migrated_database(), kind=request.param) as node:
        tenant = new_tenant()
        await put_schema(node.rest, tenant, SCHEMA)
        await put(node.rest, tenant, ["group:g#member@user:ann"])
        for start in range(0, DOCS, 1000):
            await put(node.rest, tenant, [
                f"doc:{n:04}#viewer@group:g#member" for n in range(start, start + 1000)
            ])  # fmt: skip
        yield node, tenant


def tasks() -> Counter[str]:
    """Running tasks, by what they run."""
    return Counter(getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks())


async def idle_tasks() -> Counter[str]:
    """The tasks of a node that does nothing: those that are left when no more end."""
    least, same = tasks(), 0

    def settled() -> bool:
        nonlocal least, same
        now = tasks()
        same = same + 1 if now == least else 0
        least = now
        return same == SETTLED

    await until(settled)
    return least


@asynccontextmanager
async def nothing_left(node: Node) -> AsyncIterator[Counter[str]]:
    """Behind the block there are no more tasks and busy connections than before it."""
    before, connections = await idle_tasks(), await node.connections()

    async def is_over() -> bool:
        return not tasks() - before and await node.busy() == 0

    yield before
    await until(is_over)
    assert await node.connections() <= connections + SPARE
    assert node.api.watches.watched == 0
    assert node.api.calls.counts.streams_open == 0


SETTLED = 10
"""Looks at the tasks that must see the same ones."""

SPARE = 24
"""What the pools may open at most; they keep what they opened."""


async def test_cve_2023_45810_a_stream_left_in_the_middle_releases_what_it_held(served):
    """OpenFGA's ListObjects kept resources when its caller was gone. Here a stream that is left in
    its middle ends its work: no task and no connection is busy afterwards.
    """
    node, tenant = served
    await node.rest.stream("Permission/LookupEntityStream", tenant, ENTITIES)
    async with nothing_left(node):
        for _ in range(TIMES):
            call = node.grpc.opened("Permission/LookupEntityStream", tenant, ENTITIES)
            assert (await call.read()).entity_id == "0000"
            call.cancel()
            path = path_of(BY_NAME["Permission/LookupEntityStream"], tenant)
            async with node.rest.client.stream("POST", path, json=ENTITIES) as answer:
                assert await anext(answer.aiter_lines())
    assert await check(node.rest, tenant, "doc:0001#view@user:ann")


async def test_cve_2023_45810_a_watch_left_releases_what_it_held(served):
    """The same of watchers: of history, and of what happens."""
    node, tenant = served
    async with nothing_left(node):
        for _ in range(TIMES):
            call = node.grpc.opened("Watch/Watch", tenant, {"snap_token": ""})
            await call.read()
            call.cancel()
            path = path_of(BY_NAME["Watch/Watch"], tenant)
            async with node.rest.client.stream("POST", path, json={}) as answer:
                assert await anext(answer.aiter_lines())


CALLS: list[tuple[str, dict]] = [
    ("Permission/Check", {"metadata": META, "entity": {"type": "doc", "id": "0000"},
                          "permission": "view", "subject": {"type": "user", "id": "ann"}}),
    ("Permission/LookupEntity", ENTITIES),
    ("Permission/LookupSubject", SUBJECTS),
    ("Permission/Expand", {"metadata": {}, "entity": {"type": "doc", "id": "0000"},
                           "permission": "view"}),
    ("Data/ReadRelationships", {"metadata": {}, "filter": {}}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "body"), CALLS, ids=lambda v: v if isinstance(v, str) else "")
async def test_cve_2024_23820_calls_cut_short_in_the_database_release_what_they_held(
    served, name: str, body: dict
):
    """OpenFGA kept the memory of calls that had ended. Here calls that are cancelled, or whose
    deadline passes, or whose client hangs up while the database works for them, leave nothing.
    """
    node, tenant = served
    await node.grpc.call(name, tenant, body)
    await put(node.rest, tenant, ["group:g#member@user:bob"])  # what is in memory holds no more
    async with nothing_left(node) as idle, node.locked("relation_tuples"):
        cancelled = [node.grpc.begun(name, tenant, body) for _ in range(TIMES)]
        late = [node.grpc.begun(name, tenant, body, call_s_max=0.5) for _ in range(TIMES)]
        await until(node.waits)
        for call in cancelled:
            call.cancel()
        for call in late:
            with pytest.raises(aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is StatusCode.DEADLINE_EXCEEDED
        await until(lambda: not tasks() - idle)  # at once, not when the database is done
        path = path_of(BY_NAME[name], tenant)
        with pytest.raises(httpx.TimeoutException):
            await node.rest.client.post(path, json=body, timeout=httpx.Timeout(60, read=0.3))
        await until(lambda: not tasks() - idle)
    assert await node.grpc.call(name, tenant, body) == await node.grpc.call(name, tenant, body)


async def test_cve_2024_23820_streams_are_bounded_and_their_places_come_back(migrated_database):
    """And who opens streams without an end meets a bound; each that ends makes room."""
    async with open_node(await migrated_database(), streams_max=3) as node:
        tenant = new_tenant()
        await put_schema(node.rest, tenant, SCHEMA)
        async with nothing_left(node):
            for _ in range(3):
                calls = [node.grpc.opened("Watch/Watch", tenant, {}) for _ in range(3)]
                for call in calls:
                    await call.read()
                one_more = node.grpc.opened("Watch/Watch", tenant, {})
                with pytest.raises(aio.AioRpcError) as caught:
                    await one_more.read()
                assert caught.value.code() is StatusCode.RESOURCE_EXHAUSTED
                for call in calls:
                    call.cancel()
                await until(lambda: node.api.calls.counts.streams_open == 0)
