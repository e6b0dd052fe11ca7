"""Group I: what collecting history, and ending a tenant, leave alone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from grantlog.model.ids import TenantId
from grantlog.model.token import decode_token
from grantlog.store.postgres.collect import collect_before, collect_window
from grantlog.store.postgres.pool import INDEX_PLANS, open_pool
from grantlog.store.postgres.purge import purge_dead_lives
from tests.advisories.doors import META, Door, RefusedError, bulk, check, put, put_schema, remove
from tests.advisories.node import Node, new_tenant

SCHEMA = """entity user {}
entity doc {
  relation viewer @user
  attribute level integer
  permission view = viewer
  permission odd_view = viewer and odd(level)
}
rule odd(level integer) { level % 2 == 1 }"""
DOCS = 8


async def churn(door: Door, tenant: str) -> list[str]:
    """Facts that come, go and come back; the token of every write."""
    await put_schema(door, tenant, SCHEMA)
    tokens = []
    for turn in range(4):
        for n in range(turn, DOCS, 2):
            fact = f"doc:{n}#viewer@user:ann"
            tokens.append(await put(door, tenant, [fact, f"doc:{n}$level|integer:{turn + n}"]))
            if (n + turn) % 3 == 0:
                tokens.append(await remove(door, tenant, fact))
    return tokens


def questions() -> list[str]:
    return [f"doc:{n}#{name}@user:ann" for n in range(DOCS) for name in ("view", "odd_view")]


async def answers(door: Door, tenant: str) -> tuple[list[bool], list[str], list[dict]]:
    """What a tenant answers now: checks, a lookup, and its facts."""
    body = {"metadata": META, "entity_type": "doc", "permission": "odd_view",
            "subject": {"type": "user", "id": "ann"}}  # fmt: skip
    found = await door.call("Permission/LookupEntity", tenant, body)
    listed = await door.call("Data/ReadRelationships", tenant, {"metadata": {}, "filter": {}})
    return await bulk(door, tenant, questions()), found["entity_ids"], listed["tuples"]


async def then(door: Door, tenant: str, revision: int) -> list[str]:
    """The facts as of a revision."""
    body = {"metadata": {}, "filter": {}, "page_size": 100}
    answer = await door.call("Data/ReadRelationships", tenant, body, grantlog_as_of=str(revision))
    return [fact["entity"]["id"] for fact in answer["tuples"]]


def revision_of(tenant: str, token: str) -> int:
    return decode_token(TenantId(tenant), token).revision


async def test_permify_1471_collecting_takes_no_fact_that_is_live(node: Node):
    """Permify's garbage collection removed live relations, and even schemas. Here only history
    goes: every answer at the head is the same before and behind it, for every schema version.
    """
    door = node.rest
    tenant = new_tenant()
    tokens = await churn(door, tenant)
    before = [await answers(each, tenant) for each in node.doors]
    assert any(before[0][0])
    async with open_pool(
        node.dsn, size_max=1, application_name="collector", settings=INDEX_PLANS
    ) as pool:
        assert await collect_window(pool, timedelta(0)) > 0
        assert [await answers(each, tenant) for each in node.doors] == before
        assert await collect_window(pool, timedelta(0)) == 0
    await put(door, tenant, "doc:0#viewer@user:bob")
    assert await check(node.grpc, tenant, "doc:0#view@user:bob")
    # A token of any age is good: it asks for an answer that is at least as fresh.
    for token in tokens:
        assert await bulk(door, tenant, questions(), snap_token=token) == before[0][0]


async def test_permify_gc_behind_the_window_is_an_error_that_says_so(node: Node):
    """In Permify an old token reads a snapshot whose rows are gone: wrong answers, and no code for
    it. Here what stands as of a revision before the window is refused by name, and at the window
    and behind it every answer is the one of then.
    """
    tenant = new_tenant()
    tokens = await churn(node.rest, tenant)
    head = revision_of(tenant, tokens[-1])
    history = {at: await then(node.rest, tenant, at) for at in range(1, head + 1)}
    floor = head // 2
    body = {"metadata": META, "entity_type": "doc", "permission": "view", "page_size": 1,
            "subject": {"type": "user", "id": "ann"}}  # fmt: skip
    page = await node.rest.call("Permission/LookupEntity", tenant, body)
    await put(node.rest, tenant, "doc:new#viewer@user:ann")
    async with open_pool(
        node.dsn, size_max=1, application_name="collector", settings=INDEX_PLANS
    ) as pool:
        await collect_before(pool, TenantId(tenant), floor)
        for door in node.doors:
            for at in range(1, head + 1):
                if at >= floor:
                    assert await then(door, tenant, at) == history[at]
                    continue
                with pytest.raises(RefusedError, match="BEHIND_WINDOW"):
                    await then(door, tenant, at)
        await collect_window(pool, timedelta(0))
    for door in node.doors:
        with pytest.raises(RefusedError, match="BEHIND_WINDOW"):
            await door.call("Permission/LookupEntity", tenant,
                            body | {"continuous_token": page["continuous_token"]})  # fmt: skip


async def test_permify_2291_collecting_one_tenant_touches_no_other(node: Node):
    """Permify's garbage collection removed other tenants' transactions, and then their checks were
    all denied. Here two tenants live the same history under the same revisions; what is collected,
    or ended, of one is all there of the other.
    """
    one, other = new_tenant(), new_tenant()
    for tenant in (one, other):
        tokens = await churn(node.rest, tenant)
    head = revision_of(other, tokens[-1])
    before = await answers(node.rest, other)
    history = {at: await then(node.rest, other, at) for at in range(1, head + 1)}
    async with open_pool(
        node.dsn, size_max=1, application_name="collector", settings=INDEX_PLANS
    ) as pool:
        await collect_before(pool, TenantId(one), head)
        assert await answers(node.grpc, other) == before
        await node.rest.call("Tenancy/Delete", one, {})
        await purge_dead_lives(pool)
    for door in node.doors:
        assert await answers(door, other) == before
        assert {at: await then(door, other, at) for at in history} == history
        with pytest.raises(RefusedError, match="SCHEMA_NOT_FOUND"):
            await check(door, one, "doc:0#view@user:ann")
