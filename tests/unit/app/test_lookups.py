"""Lookups in pages, bulk checks and all permissions of a subject: at one revision and schema."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace

import pytest

from grantlog.app.ask_many import BulkCheck, PermissionsQuery, SubjectPermissions
from grantlog.app.expand import Expand
from grantlog.app.lookup import PAGE_MAX, Window
from grantlog.app.terms import NO_TERMS, Terms
from grantlog.engine.expand import ExpandQuery
from grantlog.engine.lookup_entity.lookup import EntityQuery
from grantlog.engine.lookup_subject.lookup import SubjectQuery
from grantlog.engine.question import DEPTH_MAX, NO_CONTEXT, CheckQuery, RequestContext
from grantlog.errors import (
    CorruptionError,
    DepthExceededError,
    GrantlogError,
    InvalidInputError,
    InvalidTokenError,
    LimitError,
    NotFoundError,
    UnavailableError,
)
from grantlog.model.attributes import parse_attribute
from grantlog.model.ids import TenantId
from grantlog.model.tuples import Entity, Subject, parse_entity, parse_subject, parse_tuple
from tests.unit.app.world import SCHEMA, T1, Node

DOCS = EntityQuery("doc", "view", Subject("user", "1"))
USERS = SubjectQuery(Entity("doc", "1"), "view", "user")
OTHER_SCHEMA = SCHEMA.replace("viewer or public", "viewer and public")


@pytest.fixture
async def node() -> Node:
    node = Node()
    await node.schemas.write(T1, SCHEMA)
    for start in (1, 6):
        await node.put(*(f"doc:{n:02}#viewer@user:1" for n in range(start, start + 5)))
    return node


async def every_page(ask, query, **window) -> list[str]:
    found: list[str] = []
    token = ""
    while True:
        answer = await ask(T1, query, Window(continuation=token, **window))
        found += answer.ids
        token = answer.continuation
        if not token:
            return found


async def streamed(node: Node, query: EntityQuery, window: Window) -> list[tuple[str, str]]:
    async with aclosing(node.lookup.stream_entities(T1, query, window)) as stream:
        return [item async for item in stream]


async def test_pages_of_any_size_make_up_the_answer(node: Node):
    whole = [f"{n:02}" for n in range(1, 11)]
    for size in range(12):
        assert await every_page(node.lookup.entities, DOCS, page_size=size) == whole
    await node.put(*(f"doc:1#viewer@user:{n}" for n in "54312"))
    for size in range(7):
        assert await every_page(node.lookup.subjects, USERS, page_size=size) == list("12345")


async def test_pages_stand_at_the_revision_and_schema_of_the_first(node: Node):
    first = await node.lookup.entities(T1, DOCS, Window(page_size=3))
    await node.put("doc:035#viewer@user:1")
    await node.schemas.write(T1, OTHER_SCHEMA)
    second = await node.lookup.entities(
        T1, DOCS, Window(page_size=3, continuation=first.continuation)
    )
    assert second.ids == ["04", "05", "06"]
    assert second.place.head.revision == first.place.head.revision
    assert (await node.lookup.entities(T1, DOCS, Window())).ids == []


async def test_a_page_token_goes_with_its_request_alone(node: Node):
    answer = await node.lookup.entities(T1, DOCS, Window(page_size=2))
    token = answer.continuation
    others = [
        replace(DOCS, permission="viewer"),
        replace(DOCS, subject=Subject("user", "2")),
        replace(DOCS, depth=7),
        replace(DOCS, scope={"doc": frozenset({"01"})}),
        replace(DOCS, context=RequestContext(data={"a": 1})),
        replace(DOCS, context=RequestContext((parse_tuple("doc:x#viewer@user:1"),))),
    ]
    for other in others:
        with pytest.raises(InvalidTokenError) as refused:
            await node.lookup.entities(T1, other, Window(continuation=token))
        assert refused.value.reason == "ERROR_CODE_INVALID_CONTINUOUS_TOKEN"
    for garbled in (token[:-2] + "AA", "nonsense", token[1:], "\N{SNOWMAN}"):
        with pytest.raises(InvalidTokenError):
            await node.lookup.entities(T1, DOCS, Window(continuation=garbled))
    with pytest.raises(InvalidTokenError):
        await node.lookup.subjects(T1, USERS, Window(continuation=token))
    with pytest.raises(InvalidTokenError):
        await node.lookup.entities(TenantId("t2"), DOCS, Window(continuation=token))
    with pytest.raises(InvalidTokenError):
        await node.lookup.entities(T1, DOCS, Window(Terms(schema_version="x"), continuation=token))


async def test_equal_context_data_are_one_request_in_whatever_order_they_come(node: Node):
    one = {"a": [1, {"x": 1, "y": 2}], "b": "s"}
    same = {"b": "s", "a": [1, {"y": 2, "x": 1}]}
    answer = await node.lookup.entities(
        T1, replace(DOCS, context=RequestContext(data=one)), Window(page_size=2)
    )
    window = Window(page_size=2, continuation=answer.continuation)
    again = replace(DOCS, context=RequestContext(data=same))
    assert (await node.lookup.entities(T1, again, window)).ids == ["03", "04"]
    for other in ({**same, "b": ["s"]}, {**same, "b": 1}, {**same, "b": True}, {**same, "b": "1"}):
        with pytest.raises(InvalidTokenError):
            await node.lookup.entities(
                T1, replace(DOCS, context=RequestContext(data=other)), window
            )


async def test_a_stream_gives_every_entity_with_the_token_that_leads_on(node: Node):
    items = await streamed(node, DOCS, Window())
    assert [id_ for id_, _ in items] == [f"{n:02}" for n in range(1, 11)]
    assert [bool(token) for _, token in items] == [True] * 9 + [False]
    rest = await streamed(node, DOCS, Window(continuation=items[6][1]))
    assert [id_ for id_, _ in rest] == ["08", "09", "10"]
    assert (await node.lookup.entities(T1, DOCS, Window(continuation=items[8][1]))).ids == ["10"]
    few = await streamed(node, DOCS, Window(page_size=4))
    assert [id_ for id_, _ in few] == ["01", "02", "03", "04"]
    assert few[-1][1]
    assert (await streamed(node, DOCS, Window(page_size=10)))[-1] == ("10", "")
    scoped = replace(DOCS, scope={"doc": frozenset({"03", "09"})})
    assert [id_ for id_, _ in await streamed(node, scoped, Window())] == ["03", "09"]


async def test_a_large_page_size_is_served_as_the_largest(node: Node):
    for size in (PAGE_MAX + 1, 2**32 - 1):
        answer = await node.lookup.entities(T1, DOCS, Window(page_size=size))
        assert len(answer.ids) == 10


def check(entity: str, permission: str, subject: str, **parts) -> CheckQuery:
    return CheckQuery(parse_entity(entity), permission, parse_subject(subject), **parts)


async def test_a_bulk_check_keeps_the_order_and_names_mistakes(node: Node):
    items = [
        check("doc:01", "view", "user:1"),
        check("doc:01", "none", "user:1"),
        check("none:01", "view", "user:1"),
        check("doc:01", "view", "user:2"),
        check("doc:01", "view", "user:2", depth=0),
        check("doc:02", "view", "user:1"),
    ]
    bulk = BulkCheck(node.places)
    answer = await bulk(T1, items, NO_TERMS)
    allowed = [getattr(item, "allowed", type(item)) for item in answer.items]
    assert allowed == [True, NotFoundError, NotFoundError, False, DepthExceededError, True]
    assert answer.place.head.revision == 3


async def test_a_depth_out_of_bounds_is_wrong_for_the_bulk_check_not_for_its_items(node: Node):
    right = check("doc:01", "view", "user:1")
    for depth in (DEPTH_MAX + 1, -1):
        with pytest.raises(InvalidInputError, match=f"depth is {depth}"):
            await BulkCheck(node.places)(T1, [right, right._replace(depth=depth)], NO_TERMS)


@pytest.mark.parametrize("failure", [UnavailableError, CorruptionError, LimitError])
async def test_a_failure_of_ours_fails_the_bulk_check(
    node: Node, monkeypatch, failure: type[GrantlogError]
):
    async def fail(*_, **__):
        raise failure("a test")

    monkeypatch.setattr(node.places._facts, "read", fail)
    with pytest.raises(failure):
        await BulkCheck(node.places)(T1, [check("doc:01", "view", "user:1")], NO_TERMS)


async def test_all_permissions_of_a_subject_are_told_by_name(node: Node):
    query = PermissionsQuery(Entity("doc", "01"), Subject("user", "1"), NO_CONTEXT, 10, False)
    ask = SubjectPermissions(node.places)
    answer = await ask(T1, query, NO_TERMS)
    assert answer.allowed == {"view": True, "viewer": True}
    only = replace(query, only_permissions=True, subject=Subject("user", "2"))
    answer = await ask(T1, only, NO_TERMS)
    assert answer.allowed == {"view": False}
    users = replace(query, entity=Entity("user", "1"))
    assert (await ask(T1, users, NO_TERMS)).allowed == {}
    with pytest.raises(NotFoundError) as refused:
        await ask(T1, replace(query, entity=Entity("no", "1")), NO_TERMS)
    assert refused.value.reason == "ERROR_CODE_SCHEMA_NOT_FOUND"
    with pytest.raises(DepthExceededError):
        await ask(T1, replace(only, depth=0), NO_TERMS)


async def test_questions_stand_at_least_at_their_token(node: Node):
    other = Node(node.tables)
    await node.data.put(
        T1, tuples=(), attributes=[parse_attribute("doc:99$public|boolean:true")], schema_version=""
    )
    ids = await every_page(other.lookup.entities, replace(DOCS, subject=Subject("user", "9")))
    assert ids == ["99"]
    tree = await Expand(other.places)(T1, ExpandQuery(Entity("doc", "99"), "view"), NO_TERMS)
    assert tree.place.head.revision == 4


async def test_a_tenant_without_a_schema_is_told_so(node: Node):
    with pytest.raises(NotFoundError):
        await node.lookup.entities(TenantId("t2"), DOCS, Window())
