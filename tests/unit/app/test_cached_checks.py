"""Checks through the caches: what memory answers, what it keeps, and what goes to the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from grantlog.app.cached import CachedFacts, Caches
from grantlog.app.cached_checks import CachedChecks
from grantlog.app.schema_cache import LoadedSchema
from grantlog.cache import clock as clock_module
from grantlog.cache.clock import Clock
from grantlog.cache.clocks import Clocks
from grantlog.cache.relations import RelationCache
from grantlog.cache.results import ResultCache
from grantlog.engine.plan import build_plan
from grantlog.engine.question import CheckQuery, RequestContext
from grantlog.errors import InvalidInputError, NotFoundError
from grantlog.model.ids import ANY_EPOCH, Epoch, Revision, SchemaVersion, TenantId
from grantlog.model.tuples import Entity, Subject, parse_tuple
from grantlog.ports.facts import FactAnswer, FactKey
from grantlog.ports.heads import Head
from grantlog.ports.standing import Source, follow_standing
from grantlog.schema.compile import compile_schema
from grantlog.testing.fact_table import FactTable
from tests.property.asking import run_now
from tests.unit.cache.making import stable_hash, transaction, written

TENANT, VERSION = TenantId("acme"), SchemaVersion("v")
SCHEMA = compile_schema("""
entity user {}
entity group { relation member @user }
entity doc {
  relation viewer @user @group#member
  attribute level integer
  permission view = viewer
  permission low = at_most(level)
}
rule at_most(level integer) { level <= 3 }
""")
LOADED = LoadedSchema(VERSION, Revision(1), SCHEMA, build_plan(SCHEMA))
FACTS = ("doc:1#viewer@group:1#member", "doc:2#viewer@group:1#member", "group:1#member@user:1")


@pytest.fixture(autouse=True)
def same_slots_in_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a write shares a slot with what was read is no matter of luck."""
    monkeypatch.setattr(clock_module, "hash", stable_hash, raising=False)


class Facts:
    def __init__(self) -> None:
        self.table = FactTable(map(parse_tuple, FACTS))

    async def read(
        self, tenant: TenantId, revision: Revision, keys: Sequence[FactKey], *,
        epoch: Epoch = ANY_EPOCH,
    ) -> Sequence[FactAnswer]:  # fmt: skip
        return await self.table.fetch(keys)


class Follower:
    """Brings a clock to where it is asked to be."""

    def __init__(self) -> None:
        self.reached = 0

    async def reach(self, tenant: TenantId, clock: Clock, at: Revision) -> None:
        self.reached += 1
        while clock.seen < at:
            assert clock.follow(transaction(clock.seen + 1, written("doc:9#viewer@user:9")))


class Node:
    def __init__(self, *, results: bool = True) -> None:
        self.facts, self.follower = Facts(), Follower()
        self.caches = Caches(
            Clocks(), self.follower, ResultCache(1 << 20) if results else None,
            RelationCache(1 << 20),
        )  # fmt: skip

    def checks(self, at: int = 5) -> CachedChecks:
        head = Head(Epoch(1), Revision(at), VERSION)
        facts: Any = CachedFacts(self.facts, self.caches, TENANT, head)
        return CachedChecks(self.caches, TENANT, head, LOADED, facts)

    async def warm(self) -> int:
        """Know all relations; how often the store was asked for them."""
        for user in "7", "8":
            for doc in "1", "2":
                await self.checks().check(query(doc, user))
        return len(self.facts.table.batches)


def query(doc: str, user: str) -> CheckQuery:
    return CheckQuery(Entity("doc", doc), "view", Subject("user", user))


async def test_a_warm_check_asks_nobody_and_gives_way_to_nobody():
    node = Node()
    asked = await node.warm()
    standing = follow_standing()
    assert run_now(node.checks().check(query("1", "1"))).allowed
    assert not run_now(node.checks().check(query("1", "2"))).allowed
    assert len(node.facts.table.batches) == asked
    assert standing.source is Source.CACHE


async def test_an_answer_from_memory_is_kept_with_what_it_rests_on():
    node = Node()
    await node.warm()
    await node.checks().check(query("1", "1"))
    results, clock = node.caches.results, node.caches.clocks.find(TENANT)
    assert results is not None
    assert clock is not None
    before = results.state.hits
    await node.checks().check(query("1", "1"))
    assert results.state.hits == before + 1
    assert clock.follow(transaction(6, written("group:1#member@user:5")))
    await node.checks(6).check(query("1", "1"))
    assert results.state.hits == before + 1
    assert results.state.misses["moved"] == 1


async def test_a_clock_that_is_behind_is_brought_forward_once():
    node = Node(results=False)
    asked = await node.warm()
    assert (await node.checks(7).check(query("1", "1"))).allowed
    assert (node.follower.reached, len(node.facts.table.batches)) == (1, asked)
    many = await node.checks(9).check_many([query("1", "1"), query("2", "2")])
    assert [getattr(each, "allowed", each) for each in many] == [True, False]
    assert (node.follower.reached, len(node.facts.table.batches)) == (2, asked)


async def test_many_questions_are_answered_in_their_order_from_wherever_they_are_known():
    node = Node()
    await node.warm()
    wrong = query("1", "1")._replace(permission="edit")
    sent = RequestContext(tuples=(parse_tuple("doc:3#viewer@user:4"),))
    questions = [
        query("1", "1"),
        wrong,
        query("3", "1"),
        query("3", "4")._replace(context=sent),
        query("2", "1"),
        query("1", "1"),
        query("2", "1")._replace(subject=Subject("user", "1", "...")),
    ]
    for _ in range(2):
        many = await node.checks().check_many(questions)
        assert isinstance(many[1], NotFoundError)
        found = [getattr(each, "allowed", None) for each in many]
        assert found == [True, None, False, True, True, True, True]
        assert all(each.check_count > 0 for each in many if not isinstance(each, NotFoundError))


async def test_a_depth_that_no_question_may_carry_is_refused_also_where_the_answer_is_known():
    node = Node()
    await node.warm()
    await node.checks().check(query("1", "1"))
    for depth in (-1, 1_001):
        with pytest.raises(InvalidInputError):
            await node.checks().check_many([query("1", "1")._replace(depth=depth)])


async def test_a_question_that_memory_answers_too_deep_for_its_depth_goes_to_the_engine():
    node = Node()
    await node.warm()
    found = await node.checks().check_many([query("1", "1")._replace(depth=1)])
    assert "depth" in str(found[0])


async def test_a_call_of_many_rules_lets_others_have_their_turn():
    node = Node(results=False)
    low = [query("1", str(user))._replace(permission="low") for user in range(20)]
    await node.checks().check(low[0])
    asked = len(node.facts.table.batches)
    many = node.checks().check_many(low).__await__()
    turns = list(many)
    assert len(turns) >= 9, "one for each two rules"
    assert len(node.facts.table.batches) == asked
