"""Group I: a failure is never an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from itertools import count

import asyncpg
import pytest

from grantlog.engine.check import check as engine_check
from grantlog.engine.expand import ExpandQuery, expand
from grantlog.engine.lookup_entity.lookup import EntityLookup, EntityQuery
from grantlog.engine.lookup_subject.lookup import SubjectLookup, SubjectQuery
from grantlog.engine.many import FactMemo, check_many, one_by_one
from grantlog.engine.plan import build_plan
from grantlog.engine.question import CheckQuery, RequestContext
from grantlog.errors import UnavailableError
from grantlog.schema.compile import compile_schema
from grantlog.testing.lookup_table import LookupTable
from tests.advisories.doors import (
    META,
    RefusedError,
    bulk,
    check,
    facts_of,
    item,
    put,
    put_schema,
)
from tests.advisories.node import Node, new_tenant, open_node
from tests.advisories.shapes import Shape
from tests.advisories.test_a_entries import CYCLES
from tests.advisories.test_d_operators import ARROWS, RULES
from tests.advisories.test_e_lists import RECURSIVE
from tests.property.asking import run_now
from tests.waiting import until

SHAPES = [CYCLES, ARROWS, RULES, RECURSIVE]


class Failing:
    """Facts of which one read fails, or answers less than it was asked for."""

    def __init__(self, shape: Shape, fails_at: int, *, short: bool = False) -> None:
        self._table = LookupTable(*facts_of(shape.words), page_max=2, ids_max=2)
        self._reads = count()
        self._fails_at = fails_at
        self._short = short
        self.failed = False

    def _fails(self) -> bool:
        fails = next(self._reads) == self._fails_at
        self.failed |= fails
        return fails

    async def fetch(self, keys):
        fails = self._fails()
        if fails and not self._short:
            raise UnavailableError("a test cut the line")
        answers = await self._table.fetch(keys)
        return answers[:-1] if fails else answers

    def __getattr__(self, name):
        reading = getattr(self._table, name)

        async def read(*args, **kwargs):
            if self._fails():
                raise UnavailableError("a test cut the line")
            return await reading(*args, **kwargs)

        return read


async def collected(ids) -> list[str]:
    async with aclosing(ids) as found:
        return [id_ async for id_ in found]


def asked(shape: Shape):
    """Every question of the engine, as a function of the facts to read."""
    plan = build_plan(compile_schema(shape.schema))
    context = RequestContext(data=shape.data)
    checks = [CheckQuery(*key, context=context) for key in shape.expected]
    for query in checks[::3]:
        yield lambda facts, query=query: engine_check(plan, query, facts.fetch)
    yield lambda facts: check_many(plan, checks, FactMemo(facts.fetch))
    for entity, name in shape.places():
        tree = ExpandQuery(entity, name, context=context)
        yield lambda facts, tree=tree: expand(plan, tree, facts.fetch)
        who = SubjectQuery(entity, name, "user", context=context)
        yield lambda facts, who=who: collected(one_by_one(SubjectLookup(plan, who, facts).parts()))
        for subject in shape.subjects:
            what = EntityQuery(entity.type, name, subject, context)
            yield lambda facts, what=what: collected(
                one_by_one(EntityLookup(plan, what, facts).parts())
            )


@pytest.mark.parametrize("shape", SHAPES)
def test_permify_1802_whichever_read_fails_the_question_fails(shape: Shape):
    """Permify turned a failed dispatch into DENIED. Here each read of every question is made to
    fail in turn, and each time the question fails with that very error.
    """
    for ask in asked(shape):
        for fails_at in count():
            facts = Failing(shape, fails_at)
            try:
                run_now(ask(facts))
            except UnavailableError:
                assert facts.failed
            else:
                assert not facts.failed, "an answer in spite of a read that failed"
                break


@pytest.mark.parametrize("shape", SHAPES)
def test_permify_3023_an_answer_that_is_missing_from_a_batch_is_no_denial(shape: Shape):
    """A missing result of a batch was cached as DENIED in Permify. Here a reader that answers less
    than it was asked is an error of every question that read it.
    """
    for ask in asked(shape):
        for fails_at in count():
            facts = Failing(shape, fails_at, short=True)
            try:
                run_now(ask(facts))
            except Exception:  # noqa: BLE001 - what it is called is a matter of each caller
                assert facts.failed
            else:
                assert not facts.failed, "an answer in spite of one that is missing"
                break


# ---------------------------------------------------------------------------------------------
# A node

SCHEMA = """entity user {}
entity group { relation member @user @group#member }
entity doc { relation viewer @user @group#member  permission view = viewer }"""
FACTS = "doc:1#viewer@group:g#member group:g#member@user:ann doc:2#viewer@user:bob"
CALLS = {
    "Permission/Check": {"metadata": META, **item("doc:1#view@user:ann")},
    "Permission/BulkCheck": {
        "metadata": META, "items": [item("doc:1#view@user:ann"), item("doc:2#view@user:ann")]},
    "Permission/SubjectPermission": {
        "metadata": META, "entity": {"type": "doc", "id": "1"},
        "subject": {"type": "user", "id": "ann"}},
    "Permission/LookupEntity": {
        "metadata": META, "entity_type": "doc", "permission": "view",
        "subject": {"type": "user", "id": "ann"}},
    "Permission/LookupSubject": {
        "metadata": META, "entity": {"type": "doc", "id": "1"}, "permission": "view",
        "subject_reference": {"type": "user"}},
    "Permission/Expand": {
        "metadata": {}, "entity": {"type": "doc", "id": "1"}, "permission": "view"},
    "Data/ReadRelationships": {"metadata": {}, "filter": {}},
}  # fmt: skip


@pytest.fixture
async def node_that_asks_nobody(migrated_database) -> AsyncIterator[Node]:
    """A node that knows its heads itself and no facts, so that what fails is their reading."""
    nothing = {"result_cache_mb": 0, "relation_cache_mb": 0}
    async with open_node(await migrated_database(), consistency="node", **nothing) as node:
        yield node


@asynccontextmanager
async def gone(node: Node, table: str) -> AsyncIterator[None]:
    """For the block there is no such table."""
    admin = await asyncpg.connect(node.dsn)
    try:
        await admin.execute(f"ALTER TABLE {table} RENAME TO hidden")
        yield
        await admin.execute(f"ALTER TABLE hidden RENAME TO {table}")
    finally:
        await admin.close()


@pytest.mark.parametrize("name", CALLS)
async def test_permify_1802_a_database_that_fails_is_an_error_through_both_doors(
    node_that_asks_nobody: Node, name: str
):
    """The same with a real database behind both doors: facts that cannot be read are an error of
    the call, also of a bulk check, and when they are there again so is the answer.
    """
    node, tenant = node_that_asks_nobody, new_tenant()
    await put_schema(node.rest, tenant, SCHEMA)
    await put(node.rest, tenant, FACTS)
    for door in node.doors:
        before = await door.call(name, tenant, CALLS[name])
        async with gone(node, "relation_tuples"):
            with pytest.raises(RefusedError) as caught:
                await door.call(name, tenant, CALLS[name])
        assert caught.value.code == 9, "FAILED_PRECONDITION: the operator must migrate"
        assert "relation_tuples" not in caught.value.message
        assert await door.call(name, tenant, CALLS[name]) == before


async def test_permify_1802_connections_that_break_in_mid_check_are_never_a_denial(
    node_that_asks_nobody: Node,
):
    """Connections are ended while checks read: each check is answered rightly, or fails as
    UNAVAILABLE; none is denied.
    """
    node, tenant = node_that_asks_nobody, new_tenant()
    await put_schema(node.rest, tenant, SCHEMA)
    await put(node.rest, tenant, FACTS)
    ended = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE application_name LIKE 'grantlog api%' AND datname = current_database()"
    )
    outcomes: list[bool | int] = []

    async def ask(door) -> None:
        for _ in range(30):
            try:
                outcomes.append(await check(door, tenant, "doc:1#view@user:ann"))
            except RefusedError as error:
                outcomes.append(error.code)

    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(ask(door)) for door in node.doors * 2]
        while not all(task.done() for task in asking):
            await node.ask(ended)
            said = len(outcomes)
            await until(lambda n=said: len(outcomes) >= n + 6 or all(t.done() for t in asking))
    assert len(outcomes) == 120
    assert set(outcomes) <= {True, 14}
    assert await bulk(node.rest, tenant, ["doc:1#view@user:ann", "doc:1#view@user:bob"]) == [
        True,
        False,
    ]


async def test_openfga_3125_a_cancelled_check_leaves_no_answer_behind(node_that_asks_nobody: Node):
    """OpenFGA cached the `false` of a goroutine that was cancelled. Here checks are cancelled in
    the middle of their reads, by the dozen, and the same question has its right answer beside them
    and behind them.
    """
    node, tenant = node_that_asks_nobody, new_tenant()
    await put_schema(node.rest, tenant, SCHEMA)
    await put(node.rest, tenant, FACTS)
    body = CALLS["Permission/Check"]
    async with asyncio.TaskGroup() as group:
        async with node.locked("relation_tuples"):
            cancelled = [node.grpc.begun("Permission/Check", tenant, body) for _ in range(20)]
            beside = [
                group.create_task(check(door, tenant, "doc:1#view@user:ann"))
                for door in node.doors * 5
            ]
            await until(node.waits)
            for one in cancelled:
                one.cancel()
        for one in cancelled:
            with pytest.raises(asyncio.CancelledError):
                await one
    assert all(task.result() for task in beside)
    for door in node.doors:
        assert await check(door, tenant, "doc:1#view@user:ann")
        assert await bulk(door, tenant, ["doc:1#view@user:ann"] * 2) == [True, True]
