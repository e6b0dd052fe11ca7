"""Nothing is searched without end, and a large relation is never loaded for one member."""

from __future__ import annotations

import asyncio

import pytest

from grantlog.engine.check import check
from grantlog.engine.question import CheckQuery, Limits
from grantlog.errors import CorruptionError, DepthExceededError, LimitError
from grantlog.model.tuples import Entity, Subject
from grantlog.ports.facts import MemberOfUsersetKey, SubjectPage, UsersetsKey
from tests.unit.engine.asking import Asking

SCHEMA = """
entity user {}
entity group {
  relation member @user @group#member
  relation guest @user
}
entity folder {
  relation owner @user
  permission view = owner
}
entity doc {
  relation viewer @user @group#member @group#guest
  relation parent @folder
  permission view = viewer or parent.view
}
"""


def groups(count: int) -> str:
    return " ".join(f"doc:1#viewer@group:{n:03}#member" for n in range(count))


def test_a_direct_member_is_found_without_reading_the_others():
    members = " ".join(f"group:big#member@user:{n}" for n in range(3000))
    asking = Asking(SCHEMA, members)
    assert asking.allowed("group:big#member@user:7")
    assert not asking.allowed("group:big#member@user:nobody")
    assert asking.keys_fetched == 4


def test_many_usersets_are_searched_by_a_join_before_paging_on():
    asking = Asking(SCHEMA, f"{groups(50)} group:049#member@user:1", page_max=10)
    assert asking.allowed("doc:1#viewer@user:1")
    kinds = [{type(key) for key in batch} for batch in asking.table.batches]
    assert len(kinds) == 2
    assert kinds[1] == {MemberOfUsersetKey}


def test_members_of_nested_groups_on_late_pages_are_found():
    facts = f"{groups(50)} group:049#member@group:x#member group:x#member@user:1"
    asking = Asking(SCHEMA, facts, page_max=10)
    assert asking.allowed("doc:1#viewer@user:1")
    assert not asking.allowed("doc:1#viewer@user:2")


def test_the_join_spends_depth_like_the_step_it_stands_for():
    asking = Asking(SCHEMA, f"{groups(50)} group:000#member@user:1", page_max=10)
    assert asking.allowed("doc:1#viewer@user:1", depth=1)
    with pytest.raises(DepthExceededError):
        asking.check("doc:1#viewer@user:1", depth=0)


def test_more_usersets_than_the_bound_are_a_limit_unless_some_allow():
    limits = Limits(usersets_max=20)
    facts = f"{groups(50)} group:003#member@group:x#member group:x#member@user:1"
    asking = Asking(SCHEMA, facts, page_max=10, limits=limits)
    assert asking.allowed("doc:1#viewer@user:1")
    with pytest.raises(LimitError, match="usersets_max = 20"):
        asking.check("doc:1#viewer@user:2")
    assert asking.allowed(
        "doc:1#view@user:2", context="doc:1#parent@folder:f folder:f#owner@user:2"
    )


def test_more_subjects_of_an_arrow_than_the_bound_are_a_limit():
    parents = " ".join(f"doc:1#parent@folder:{n:03}" for n in range(50))
    asking = Asking(SCHEMA, parents, page_max=10, limits=Limits(fanout_max=20))
    with pytest.raises(LimitError, match="fanout_max = 20"):
        asking.check("doc:1#view@user:1")
    assert not Asking(SCHEMA, parents, page_max=10).allowed("doc:1#view@user:1")


def test_more_nodes_than_the_bound_are_a_limit():
    asking = Asking(SCHEMA, groups(50), limits=Limits(nodes_max=30))
    with pytest.raises(LimitError, match="nodes_max = 30"):
        asking.check("doc:1#viewer@user:1")


def test_more_facts_at_once_than_the_bound_are_a_limit():
    asking = Asking(SCHEMA, groups(50), limits=Limits(keys_max=30))
    with pytest.raises(LimitError, match="keys_max = 30"):
        asking.check("doc:1#viewer@user:1")


def test_a_long_evaluation_lets_others_run():
    asking = Asking(SCHEMA, groups(900))
    query = CheckQuery(Entity("doc", "1"), "view", Subject("user", "1"))
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def both() -> None:
        async with asyncio.TaskGroup() as tasks:
            bystander = tasks.create_task(other())
            await check(asking.plan, query, asking.table.fetch)
            bystander.cancel()

    asyncio.run(both())
    assert turns > 3


def test_answers_that_break_the_contract_are_corruption():
    asking = Asking(SCHEMA)
    query = CheckQuery(Entity("doc", "1"), "viewer", Subject("user", "1"))

    async def too_few(keys: object) -> list[bool]:
        return [False]

    async def empty_page(keys: list[object]) -> list[object]:
        endless = SubjectPage((), more=True)
        return [endless if isinstance(key, UsersetsKey) else False for key in keys]

    for fetch in (too_few, empty_page):
        with pytest.raises(CorruptionError):
            asyncio.run(check(asking.plan, query, fetch))
