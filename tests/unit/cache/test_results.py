"""The result cache: what tells questions apart, depth, dependencies."""

from __future__ import annotations

import pytest

from grantlog.cache.clock import Cause, fact_dependency, kind_dependency
from grantlog.cache.results import (
    DEPENDENCIES_MAX,
    KeptResult,
    ResultCache,
    dependencies_of,
    result_key,
    result_keys,
)
from grantlog.engine.question import CheckQuery, CheckResult, RequestContext
from grantlog.model.ids import Revision, SchemaVersion
from grantlog.model.tuples import Entity, Subject, parse_tuple
from grantlog.ports.facts import AttributeKey, DirectKey, MemberOfUsersetKey, SubjectsKey
from tests.unit.cache.making import clock, transaction, written

AT, V = Revision(5), SchemaVersion("v")
QUERY = CheckQuery(Entity("doc", "1"), "view", Subject("user", "1"))
YES = CheckResult(allowed=True, check_count=3)
READ = [DirectKey("doc", "1", "viewer", "user", "1", "")]


def kept_at(depth: int) -> tuple[ResultCache, object, object]:
    cache, one = ResultCache(1 << 20), clock(5)
    key = result_key(one, V, QUERY)
    assert key is not None
    cache.keep(key, KeptResult(YES, depth), AT, READ)
    return cache, one, key


def test_an_answer_is_found_where_nothing_it_read_moved():
    cache, one, key = kept_at(3)
    assert cache.find(one, key, AT, 20) == YES
    one.follow(transaction(6, written("doc:2#viewer@user:1")))
    assert cache.find(one, key, Revision(6), 20) == YES
    assert cache.find(one, key, Revision(7), 20) is Cause.AHEAD
    one.follow(transaction(7, written("doc:1#viewer@user:2")))
    assert cache.find(one, key, Revision(7), 20) is Cause.MOVED


def test_a_question_with_less_depth_than_the_answer_took_is_not_answered():
    cache, one, key = kept_at(3)
    assert cache.find(one, key, AT, 3) == YES
    assert cache.find(one, key, AT, 2) is Cause.DEPTH
    cache.keep(key, KeptResult(YES, 4), AT, READ)
    assert cache.find(one, key, AT, 3) == YES, "the smaller depth stays"
    cache.keep(key, KeptResult(YES, 2), AT, READ)
    assert cache.find(one, key, AT, 2) == YES


@pytest.mark.parametrize(
    "other",
    [
        QUERY._replace(entity=Entity("doc", "2")),
        QUERY._replace(entity=Entity("dir", "1")),
        QUERY._replace(permission="edit"),
        QUERY._replace(subject=Subject("user", "2")),
        QUERY._replace(subject=Subject("user", "1", "member")),
        QUERY._replace(arguments=("a",)),
        QUERY._replace(context=RequestContext(data={"a": 1})),
        QUERY._replace(context=RequestContext(tuples=(parse_tuple("doc:1#viewer@user:1"),))),
    ],
)
def test_whatever_the_question_says_tells_it_apart(other: CheckQuery):
    one = clock(5)
    assert result_key(one, V, other) != result_key(one, V, QUERY)


def test_many_keys_are_each_questions_own():
    one = clock(5)
    data = [RequestContext(data=sent) for sent in ({"a": 1}, object(), {"b": 1})]
    sent = [QUERY, *(QUERY._replace(context=each) for each in data), QUERY]
    dotted = QUERY._replace(subject=Subject("user", "1", "..."))
    queries = [*sent, dotted, QUERY._replace(arguments=("a",))]
    keys = result_keys(one, V, queries)
    assert keys == [result_key(one, V, query) for query in queries]
    assert len(set(keys)) == 5, "two contexts, none that can be kept, arguments, and the rest"


def test_an_answer_from_memory_takes_another_ones_place_if_it_says_more():
    cache, one, key = kept_at(3)
    [entry] = cache._shelf.entries.values()
    before = cache.state.bytes
    no = CheckResult(allowed=False, check_count=1)
    cache.keep_recalled(key, KeptResult(no, 4), AT, [entry])
    assert cache.find(one, key, AT, 20) == YES, "the smaller depth stays"
    cache.keep_recalled(key, KeptResult(no, 2), AT, [entry])
    assert cache.find(one, key, AT, 20) == no
    assert (cache.state.entries, cache.state.bytes) == (1, before)


def test_versions_tenants_and_lives_are_told_apart_depths_and_an_ellipsis_are_not():
    one = clock(5)
    key = result_key(one, V, QUERY)
    assert result_key(one, SchemaVersion("w"), QUERY) != key
    assert result_key(clock(5), V, QUERY) != key
    dotted = QUERY._replace(subject=Subject("user", "1", "..."), depth=7)
    assert result_key(one, V, dotted) == key


def test_a_context_that_cannot_be_told_from_others_is_never_kept():
    assert result_key(clock(5), V, QUERY._replace(context=RequestContext(data=object()))) is None


def test_an_answer_depends_on_all_that_it_read_each_once():
    keys = [*READ, SubjectsKey("doc", "1", "viewer"), AttributeKey("doc", "1", "public")]
    expected = {fact_dependency("doc", "1", name) for name in ("viewer", "public")}
    found = dependencies_of(keys)
    assert found is not None
    assert set(found) == expected
    assert len(found) == 2


def test_a_joined_look_up_depends_on_the_memberships_of_a_whole_type():
    key = MemberOfUsersetKey("doc", "1", "viewer", "group", "member", "user", "1", "")
    found = dependencies_of([key])
    assert found is not None
    assert set(found) == {
        fact_dependency("doc", "1", "viewer"),
        kind_dependency("group", "member"),
    }


def test_an_answer_that_read_much_depends_on_relations_of_types():
    keys = [SubjectsKey("doc", str(n), "viewer") for n in range(DEPENDENCIES_MAX + 1)]
    assert dependencies_of(keys) == (kind_dependency("doc", "viewer"),)
    found = dependencies_of(keys[:-1])
    assert found is not None
    assert len(found) == DEPENDENCIES_MAX
    kinds = [SubjectsKey("doc", str(n), f"r{n}") for n in range(DEPENDENCIES_MAX + 1)]
    assert dependencies_of(kinds) is None


def test_an_answer_of_earlier_does_not_push_out_a_newer_one():
    cache, one, key = kept_at(3)
    no = CheckResult(allowed=False, check_count=1)
    cache.keep(key, KeptResult(no, 1), Revision(4), READ)
    assert cache.find(one, key, AT, 20) == YES


def test_it_counts_answers_and_what_stood_against_them():
    cache, one, key = kept_at(3)
    cache.count(cache.find(one, key, AT, 20))
    cache.count(cache.find(one, key, AT, 1))
    state = cache.state
    assert (state.hits, state.misses["depth"], state.entries) == (1, 1, 1)
    assert 0 < state.bytes < 2_000
