"""The relation cache answers what the store would, from as little as was read."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from grantlog.cache.clock import Cause, Clock
from grantlog.cache.relations import RelationCache
from grantlog.model.attributes import AttributeType, AttributeValue
from grantlog.model.ids import Revision
from grantlog.model.tuples import Subject
from grantlog.ports.facts import (
    AttributeKey,
    DirectKey,
    FactKey,
    MemberOfUsersetKey,
    SubjectPage,
    SubjectsKey,
    UsersetsKey,
)
from grantlog.testing.fact_table import FactTable
from tests.unit.cache.making import clock, transaction, written

AT = Revision(5)
DOC = ("doc", "1", "viewer")


def direct(user: str, doc: str = "1") -> DirectKey:
    return DirectKey("doc", doc, "viewer", "user", user, "")


FACTS = ("doc:1#viewer@user:1", "doc:1#viewer@group:1#member", "group:1#member@user:2")


async def ask(
    cache: RelationCache, one: Clock, table: FactTable, keys: Sequence[FactKey], at: Revision = AT
) -> list[object]:
    """Answers as a node gives them: what is missing is read and kept."""
    found = cache.find(one, at, keys)
    asked = [keys[place] for place in found.missing]
    if asked:
        asked += cache.worth_reading(one, asked)
        read = await table.fetch(asked)
        cache.keep(one, at, asked, read)
        for place, answer in zip(found.missing, read, strict=False):
            found.answers[place] = answer
    return list(found.answers)


def table(*texts: str, page_max: int = 1_000) -> FactTable:
    from grantlog.model.tuples import parse_tuple

    return FactTable([parse_tuple(text) for text in texts], page_max=page_max)


async def test_a_relation_asked_for_twice_is_known_whole_and_answers_about_anybody():
    cache, one, facts = RelationCache(1 << 20), clock(5), table(*FACTS)
    assert await ask(cache, one, facts, [direct("1")]) == [True]
    assert [list(b) for b in facts.batches] == [[direct("1")]], (
        "what is asked once costs no more than its answer"
    )
    assert await ask(cache, one, facts, [direct("2")]) == [False]
    assert list(facts.batches[1]) == [direct("2"), SubjectsKey(*DOC)]
    keys = [direct("1"), direct("2"), direct("3"), UsersetsKey(*DOC), SubjectsKey(*DOC)]
    members = (Subject("user", "1"), Subject("group", "1", "member"))
    assert await ask(cache, one, facts, keys) == [
        True,
        False,
        False,
        SubjectPage(members[1:], more=False),
        SubjectPage(members, more=False),
    ]
    assert len(facts.batches) == 2


async def test_that_there_is_nobody_is_known_too():
    cache, one, facts = RelationCache(1 << 20), clock(5), table()
    for user in "1234":
        assert await ask(cache, one, facts, [direct(user), AttributeKey("doc", "1", "x")]) == [
            False,
            None,
        ]
    assert len(facts.batches) == 2


async def test_a_large_relation_is_looked_up_point_by_point():
    texts = [f"doc:1#viewer@user:{n}" for n in range(10)]
    cache, one, facts = RelationCache(1 << 20, whole_subjects_max=5), clock(5), table(*texts)
    for user in ("1", "2", "3", "x"):
        await ask(cache, one, facts, [direct(user)])
    assert [list(b) for b in facts.batches[2:]] == [[direct("3")], [direct("x")]]
    assert await ask(cache, one, facts, [direct("1"), direct("x")]) == [True, False]
    assert len(facts.batches) == 4


async def test_pages_and_joined_look_ups_are_kept_as_they_were_asked():
    texts = [f"doc:1#viewer@group:{n}#member" for n in range(5)]
    cache, one, facts = RelationCache(1 << 20), clock(5), table(*texts, page_max=2)
    second = UsersetsKey(*DOC, Subject("group", "1", "member"))
    member = MemberOfUsersetKey(*DOC, "group", "member", "user", "1", "")
    keys = [UsersetsKey(*DOC), second, SubjectsKey(*DOC), member]
    first = await ask(cache, one, facts, keys)
    batches = len(facts.batches)
    assert await ask(cache, one, facts, keys) == first
    assert len(facts.batches) == batches
    assert first == await facts.fetch(keys)


@pytest.mark.parametrize(
    ("change", "moved"),
    [
        ("doc:1#viewer@user:9", {0, 1, 2}),
        ("doc:1$public|boolean:true", {3}),
        ("group:7#member@user:9", {2}),
        ("doc:2#viewer@user:9", set()),
    ],
)
async def test_a_write_makes_useless_what_it_may_have_changed(change: str, moved: set[int]):
    cache, one, facts = RelationCache(1 << 20), clock(5), table(*FACTS)
    keys = [
        direct("1"),
        UsersetsKey(*DOC),
        MemberOfUsersetKey(*DOC, "group", "member", "user", "1", ""),
        AttributeKey("doc", "1", "public"),
    ]
    for _ in range(2):
        await ask(cache, one, facts, keys)
    one.follow(transaction(6, written(change)))
    assert set(cache.find(one, Revision(6), keys).missing) == moved
    assert not cache.find(one, Revision(5), keys).missing, "as of before, all is as it was"


async def test_what_was_read_earlier_does_not_push_out_what_is_newer():
    cache, one = RelationCache(1 << 20), clock(5)
    cache.keep(one, Revision(5), [direct("1")], [True])
    cache.keep(one, Revision(3), [direct("1")], [False])
    assert cache.find(one, Revision(5), [direct("1")]).answers == [True]
    assert cache.find(one, Revision(3), [direct("1")]).missing == {0: Cause.BEFORE}


async def test_keys_of_other_kinds_with_the_same_parts_are_told_apart():
    cache, one = RelationCache(1 << 20), clock(5)
    value = AttributeValue(AttributeType.BOOLEAN, data=True)
    page = SubjectPage((Subject("user", "1"),), more=True)
    cache.keep(one, AT, [AttributeKey(*DOC), UsersetsKey(*DOC)], [value, page])
    found = cache.find(one, AT, [SubjectsKey(*DOC), UsersetsKey(*DOC), AttributeKey(*DOC)])
    assert found.missing == {0: Cause.ABSENT}
    assert found.answers[1:] == [page, value]
    other = clock(5)
    assert len(cache.find(other, AT, [UsersetsKey(*DOC)]).missing) == 1, "another tenant's"


async def test_it_counts_answers_and_what_stood_against_them():
    cache, one, facts = RelationCache(1 << 20), clock(5), table(*FACTS)
    for _ in range(2):
        found = cache.find(one, AT, [direct("1")])
        cache.count(found)
        await ask(cache, one, facts, [direct("1")])
    state = cache.state
    assert (state.hits, state.misses["absent"], state.entries) == (1, 1, 1)
    assert 0 < state.bytes < 2_000
