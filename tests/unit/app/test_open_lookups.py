"""Lookups that stay open between pages: what they save, and when they are given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from itertools import cycle

import pytest

from grantlog.app.lookup import Window
from grantlog.app.open_lookups import OpenLookup, OpenLookups
from grantlog.engine.lookup_entity.lookup import EntityQuery
from grantlog.engine.lookup_subject.lookup import SubjectQuery
from grantlog.errors import BehindWindowError, RuleFailedError
from grantlog.model.attributes import parse_attribute
from grantlog.model.tuples import Entity, Subject
from tests.unit.app.world import T1, Node

SCHEMA = """
entity user {}
entity group { relation member @user }
entity doc { relation viewer @group#member  permission view = viewer }
"""
FAILING = """
entity user {}
entity group { relation member @user }
entity doc {
  relation viewer @group#member
  attribute level integer
  permission view = viewer and divides(level)
}
rule divides(level integer) { 10 / level > 0 }
"""
DOCS = EntityQuery("doc", "view", Subject("user", "1"))
USERS = SubjectQuery(Entity("doc", "01"), "view", "user")


class Lookup:
    """Ids without end; says how many it holds and whether it was closed."""

    def __init__(self, held: int = 1) -> None:
        self.held = held
        self.closed = False

    async def parts(self) -> AsyncGenerator[list[str]]:
        try:
            while True:
                yield ["a"]
        finally:
            self.closed = True


async def opened(held: int = 1, ahead: int = 0) -> OpenLookup:
    lookup = Lookup(held)
    parts = lookup.parts()
    await anext(parts)
    return OpenLookup(lookup, parts, ["a"] * ahead)


@pytest.fixture
async def node() -> Node:
    node = Node()
    await node.schemas.write(T1, SCHEMA)
    for n in range(1, 10):
        await node.put(f"doc:{n:02}#viewer@group:g#member", f"group:g#member@user:{n}")
    return node


def counted(node: Node, name: str) -> list[object]:
    """What is asked of the store from now on, by one method."""
    asked: list[object] = []
    reader = node.places._reverse
    method = getattr(reader, name)

    async def counting(tenant, revision, keys, **more):
        asked.append(keys)
        return await method(tenant, revision, keys, **more)

    setattr(reader, name, counting)
    return asked


async def test_a_next_page_goes_on_where_the_one_before_ended(node: Node):
    asked = counted(node, "entities")
    found, token, pages = [], "", 0
    while not pages or token:
        answer = await node.lookup.entities(T1, DOCS, Window(page_size=2, continuation=token))
        found, token, pages = [*found, *answer.ids], answer.continuation, pages + 1
    assert found == [f"{n:02}" for n in range(1, 10)]
    assert pages == 5
    assert len(asked) == 2  # groups of the user, documents of the group


async def test_pages_of_any_sizes_are_full_and_end_with_the_answer(node: Node):
    whole = [f"{n:03}" for n in range(230)]
    for start in range(0, 230, 5):
        ids = whole[start : start + 5]
        await node.put(*(f"doc:{id_}#viewer@group:h#member" for id_ in ids))
        await node.put(*(f"group:h#member@user:{id_}" for id_ in ids))
    docs = replace(DOCS, subject=Subject("user", "000"))
    users = replace(USERS, entity=Entity("doc", "000"))
    for ask, query in ((node.lookup.entities, docs), (node.lookup.subjects, users)):
        for sizes in ((1,), (7, 100, 3), (33,), (100, 1), (230,), (115,), (200, 5, 1)):
            token, shown = "", []
            for size in cycle(sizes):
                answer = await ask(T1, query, Window(page_size=size, continuation=token))
                shown += answer.ids
                token = answer.continuation
                assert len(answer.ids) == size or not token
                assert bool(token) == (len(shown) < 230)
                if not token:
                    break
            assert shown == whole, sizes


async def test_pages_before_an_id_without_an_answer_are_given_and_no_later_one(node: Node):
    await node.schemas.write(T1, FAILING)
    for n in range(1, 10):
        level = parse_attribute(f"doc:{n:02}$level|integer:{0 if n == 6 else n}")
        await node.put(f"doc:{n:02}#viewer@group:g#member", attributes=[level])
    for size, given in ((1, 4), (2, 4), (3, 3), (4, 4), (5, 0), (9, 0)):
        shown, token = list[str](), ""
        while len(shown) < given:
            window = Window(page_size=size, continuation=token)
            answer = await node.lookup.entities(T1, DOCS, window)
            shown, token = [*shown, *answer.ids], answer.continuation
        assert shown == [f"{n:02}" for n in range(1, given + 1)], size
        with pytest.raises(RuleFailedError):
            await node.lookup.entities(T1, DOCS, Window(page_size=size, continuation=token))


async def test_a_page_that_is_asked_again_or_elsewhere_is_the_same(node: Node):
    first = await node.lookup.subjects(T1, USERS, Window(page_size=3))
    again = Window(page_size=3, continuation=first.continuation)
    pages = [await node.lookup.subjects(T1, USERS, again) for _ in range(2)]
    pages.append(await Node(node.tables).lookup.subjects(T1, USERS, again))
    assert [page.ids for page in pages] == [["4", "5", "6"]] * 3
    last = Window(page_size=5, continuation=pages[0].continuation)
    both = await asyncio.gather(  # noqa: TID251 - two callers with one token
        node.lookup.subjects(T1, USERS, last), node.lookup.subjects(T1, USERS, last)
    )
    assert [answer.ids for answer in both] == [["7", "8", "9"]] * 2


async def test_of_a_tenant_that_was_deleted_no_page_is_answered(node: Node):
    for ask, query in ((node.lookup.entities, DOCS), (node.lookup.subjects, USERS)):
        first = await ask(T1, query, Window(page_size=1))
        second = await ask(T1, query, Window(page_size=1, continuation=first.continuation))
        assert second.continuation
        await Node(node.tables).tenants.delete(T1)
        with pytest.raises(BehindWindowError):
            await ask(T1, query, Window(page_size=1, continuation=second.continuation))
        await node.schemas.write(T1, SCHEMA)
        await node.put("doc:01#viewer@group:g#member", "doc:02#viewer@group:g#member")
        await node.put(*(f"group:g#member@user:{n}" for n in range(1, 5)))


async def test_what_waits_longest_is_given_up_first():
    kept = OpenLookups(lambda: 0.0, open_max=2, held_max=10)
    lookups = [await opened() for _ in range(3)]
    for number, one in enumerate(lookups):
        await kept.keep(number, one)
    assert [one.lookup.closed for one in lookups] == [True, False, False]
    assert kept.take(0) is None
    assert kept.take(2) is lookups[2]
    assert kept.take(2) is None


async def test_together_they_hold_no_more_than_they_may():
    kept = OpenLookups(lambda: 0.0, open_max=9, held_max=10)
    lookups = [await opened(4), await opened(4), await opened(4, 2), await opened(8, 3)]
    for number, one in enumerate(lookups):
        await kept.keep(number, one)
    assert [one.lookup.closed for one in lookups] == [True, False, False, True]
    assert kept.take(1) is lookups[1]
    await kept.keep("more", await opened(4))
    assert kept.take(2) is lookups[2]


async def test_one_that_nobody_goes_on_with_is_given_up_in_time():
    now = 0.0
    kept = OpenLookups(lambda: now, idle_s_max=60.0)
    old, young = await opened(), await opened()
    await kept.keep("old", old)
    now = 60.0
    await kept.keep("young", young)
    assert not old.lookup.closed
    now = 61.0
    await kept.keep("other", await opened())
    assert (old.lookup.closed, young.lookup.closed) == (True, False)


async def test_a_page_that_is_left_open_twice_is_kept_once():
    kept = OpenLookups(lambda: 0.0)
    first, second = await opened(), await opened()
    await kept.keep("page", first)
    await kept.keep("page", second)
    assert first.lookup.closed
    assert kept.take("page") is second
