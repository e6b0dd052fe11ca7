"""Group I: work that callers share, and what they do not share with it."""

from __future__ import annotations

import asyncio

import pytest
from grpc import StatusCode, aio

from tests.advisories.doors import (
    META,
    RefusedError,
    check,
    item,
    put,
    put_schema,
)
from tests.advisories.node import Node, new_tenant, open_node
from tests.waiting import until

SCHEMA = """entity user {}
entity doc { relation viewer @user  permission view = viewer }"""
FACTS = "doc:1#viewer@user:ann"
QUESTION = "doc:1#view@user:ann"

SHARED = {"heads": "heads", "facts": "relation_tuples", "schemas": "schemas"}
"""What concurrent callers share, and the table that it reads."""


def ask(node: Node, tenant: str, question: str, timeout: float) -> aio.UnaryUnaryCall:
    """A check that the test ends itself."""
    body = {"metadata": META, **item(question)}
    return node.grpc.begun("Permission/Check", tenant, body, call_s_max=timeout)


@pytest.mark.parametrize("shared", SHARED)
async def test_spicedb_3142_each_caller_of_shared_work_keeps_its_own_deadline(
    migrated_database, shared: str
):
    """SpiceDB's singleflight ran shared work without any caller's deadline, and who waited for it
    was stuck. Here callers share the reading of heads, of facts and of schemas; while it hangs,
    each ends at its own deadline, the first one included, and who has time gets the answer.
    """
    dsn = await migrated_database()
    tenant = new_tenant()
    async with open_node(dsn) as writing:
        await put_schema(writing.rest, tenant, SCHEMA)
        await put(writing.rest, tenant, FACTS)
    async with open_node(dsn, request_timeout_s=60) as node, asyncio.TaskGroup() as group:
        await node.ask("SELECT 1")
        async with node.locked(SHARED[shared]):
            first = ask(node, tenant, QUESTION, 0.6)
            patient = [group.create_task(check(door, tenant, QUESTION)) for door in node.doors * 3]
            hasty = [ask(node, tenant, QUESTION, 0.3) for _ in range(5)]
            await until(node.waits)
            for call in [*hasty, first]:
                with pytest.raises(aio.AioRpcError) as caught:
                    await call
                assert caught.value.code() is StatusCode.DEADLINE_EXCEEDED
            assert not any(task.done() for task in patient)
    assert all(task.result() for task in patient)


async def answers(door, tenant: str) -> bool:
    """Whether the question is answered in time; what it says must be right."""
    try:
        assert await check(door, tenant, QUESTION)
    except RefusedError as error:
        assert error.code == StatusCode.DEADLINE_EXCEEDED.value[0]  # noqa: PT017 - one of two
        return False
    return True


@pytest.mark.parametrize("shared", SHARED)
async def test_spicedb_3142_a_call_without_a_deadline_has_the_nodes(migrated_database, shared: str):
    """A caller that names no deadline has that of every call, whatever the shared work does."""
    dsn = await migrated_database()
    tenant = new_tenant()
    async with open_node(dsn) as writing:
        await put_schema(writing.rest, tenant, SCHEMA)
        await put(writing.rest, tenant, FACTS)
    async with open_node(dsn, request_timeout_s=0.5) as node:
        async with node.locked(SHARED[shared]):
            for door in node.doors:
                with pytest.raises(RefusedError) as caught:
                    await check(door, tenant, QUESTION)
                assert caught.value.code == StatusCode.DEADLINE_EXCEEDED.value[0]
        for door in node.doors:
            await until(lambda door=door: answers(door, tenant))


@pytest.mark.parametrize("shared", SHARED)
async def test_singleflight_the_first_callers_leaving_takes_nothing_from_the_others(
    migrated_database, shared: str
):
    """Where the first caller does the work for all, its cancellation is everyone's. Here whoever
    leaves, first, last or in between, the others get their answer.
    """
    dsn = await migrated_database()
    tenant = new_tenant()
    async with open_node(dsn) as writing:
        await put_schema(writing.rest, tenant, SCHEMA)
        await put(writing.rest, tenant, FACTS)
    async with (
        open_node(dsn) as node,
        asyncio.TaskGroup() as group,
        node.locked(SHARED[shared]),
    ):
        first = ask(node, tenant, QUESTION, 30)
        await until(node.waits)
        staying = [group.create_task(check(door, tenant, QUESTION)) for door in node.doors * 3]
        leaving = [ask(node, tenant, QUESTION, 30) for _ in range(5)]
        for call in [first, *leaving]:
            call.cancel()
        for call in [first, *leaving]:
            with pytest.raises(asyncio.CancelledError):
                await call
    assert all(task.result() for task in staying)


async def test_singleflight_one_callers_mistake_is_not_the_others(migrated_database):
    """Callers whose work is shared are told apart in their failures too: an unknown version, a
    token beyond the head, a rule without its context fail alone.
    """
    schema = """entity user {}
    entity doc { relation viewer @user  attribute tag string
      permission view = viewer  permission tagged_view = tagged(tag) }
    rule tagged(tag string) { tag == context.data.tag }"""
    async with open_node(await migrated_database()) as node:
        tenant, empty = new_tenant(), new_tenant()
        await put_schema(node.rest, tenant, schema)
        await put(node.rest, tenant, FACTS)

        async def outcome(door, of: str, question: str, **meta: str) -> bool | str:
            try:
                return await check(door, of, question, **meta)
            except RefusedError as error:
                return error.reason

        cases = [
            (tenant, QUESTION, {}, True),
            (tenant, QUESTION, {"schema_version": "0" * 20}, "ERROR_CODE_SCHEMA_NOT_FOUND"),
            (tenant, "doc:1#tagged_view@user:ann", {}, "RULE_EVALUATION_FAILED"),
            (empty, QUESTION, {}, "ERROR_CODE_SCHEMA_NOT_FOUND"),
            (tenant, QUESTION, {"snap_token": "garbled"}, "INVALID_SNAP_TOKEN"),
            (tenant, "doc:1#view@user:bob", {}, False),
        ]
        async with asyncio.TaskGroup() as group, node.locked("heads"):
            asked = [
                (group.create_task(outcome(door, of, question, **meta)), expected)
                for _ in range(3)
                for door in node.doors
                for of, question, meta, expected in cases
            ]
            await until(node.waits)
        assert [task.result() for task, _ in asked] == [expected for _, expected in asked]
