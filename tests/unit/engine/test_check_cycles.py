"""Data and schemas that go in circles."""

from __future__ import annotations

import pytest

from grantlog.errors import DepthExceededError, RuleFailedError
from tests.unit.engine.asking import Asking

GROUPS = "entity user {}\nentity group { relation member @user @group#member }"
RING = "group:a#member@group:b#member group:b#member@group:c#member group:c#member@group:a#member"


@pytest.mark.parametrize("start", "abc")
def test_a_ring_of_groups_denies_who_is_in_none_of_them(start: str):
    assert not Asking(GROUPS, RING).allowed(f"group:{start}#member@user:1", depth=3)


@pytest.mark.parametrize("start", "abc")
def test_a_ring_of_groups_allows_who_is_in_any_of_them(start: str):
    asking = Asking(GROUPS, f"{RING} group:b#member@user:1")
    assert asking.allowed(f"group:{start}#member@user:1", depth=3)


def test_a_group_in_itself_is_no_news():
    assert not Asking(GROUPS).allowed(
        "group:a#member@user:1", context="group:a#member@group:a#member"
    )


def test_a_ring_that_the_budget_cannot_go_round_is_not_denied():
    with pytest.raises(DepthExceededError):
        Asking(GROUPS, RING).check("group:a#member@user:1", depth=1)
    assert not Asking(GROUPS, RING).allowed("group:a#member@user:1", depth=2)


def test_permissions_that_name_each_other_are_denied():
    schema = "entity user {}\nentity doc {\n permission a = b\n permission b = a\n}"
    assert not Asking(schema).allowed("doc:1#a@user:1")


def test_a_clique_of_groups_is_decided_once_per_group():
    names = [f"g{chr(97 + n)}" for n in range(26)]
    facts = " ".join(f"group:{a}#member@group:{b}#member" for a in names for b in names if a != b)
    asking = Asking(GROUPS, facts)
    assert asking.check("group:ga#member@user:1", depth=3).check_count == 26
    assert asking.keys_fetched == 52


NEGATIVE = """
entity user {}
entity doc {
  relation next @doc
  relation viewer @user
  relation banned @user
  permission view = viewer not next.view
  permission safe = (viewer not next.safe) or banned
  permission both = view and banned
  permission either = view or viewer
  permission neither = viewer not either
  permission strict = banned not next.view
}
"""
PAIR = "doc:1#next@doc:2 doc:2#next@doc:1 doc:1#viewer@user:1 doc:2#viewer@user:1"


def test_an_answer_that_hangs_on_its_own_denial_is_an_error():
    with pytest.raises(DepthExceededError):
        Asking(NEGATIVE, PAIR).check("doc:1#view@user:1")


def test_such_a_ring_is_decided_where_the_denial_does_not_matter():
    asking = Asking(NEGATIVE, PAIR)
    assert not asking.allowed("doc:1#view@user:2")
    assert not asking.allowed("doc:1#both@user:1")
    assert asking.allowed("doc:1#either@user:1")
    assert not asking.allowed("doc:1#neither@user:1")
    assert not asking.allowed("doc:1#strict@user:1")
    banned = Asking(NEGATIVE, f"{PAIR} doc:2#banned@user:1")
    assert banned.allowed("doc:2#safe@user:1")
    assert not banned.allowed("doc:1#safe@user:2")


def test_a_chain_of_nots_without_a_ring_alternates():
    asking = Asking(
        NEGATIVE,
        "doc:1#next@doc:2 doc:2#next@doc:3 "
        "doc:1#viewer@user:1 doc:2#viewer@user:1 doc:3#viewer@user:1",
    )
    assert [asking.allowed(f"doc:{n}#view@user:1") for n in (1, 2, 3)] == [True, False, True]


def test_a_ring_below_a_not_is_denied_and_the_not_allows():
    schema = """
    entity user {}
    entity doc {
      relation next @doc
      relation viewer @user
      permission loop = next.loop
      permission view = viewer not loop
    }
    """
    assert Asking(schema, PAIR).allowed("doc:1#view@user:1")


def test_an_error_in_a_ring_reaches_every_member_that_it_matters_to():
    schema = """
    entity user {}
    entity doc {
      relation next @doc
      attribute level integer
      permission view = next.view or fits(level)
      permission none = next.none and fits(level)
    }
    rule fits(level integer) {
      6 / level == 2
    }
    """
    facts = "doc:1#next@doc:2 doc:2#next@doc:1 doc:1$level|integer:2"
    asking = Asking(schema, facts)
    for entity in ("doc:1", "doc:2"):
        with pytest.raises(RuleFailedError):
            asking.check(f"{entity}#view@user:1")
        assert not asking.allowed(f"{entity}#none@user:1")


def test_rings_upon_rings_are_decided_from_the_deepest():
    schema = """
    entity user {}
    entity doc {
      relation next @doc
      relation down @doc
      relation viewer @user
      permission view = next.view or (viewer not down.view)
    }
    """
    levels = 60
    facts = " ".join(
        f"doc:a{n}#next@doc:b{n} doc:b{n}#next@doc:a{n} doc:a{n}#down@doc:a{n + 1} "
        f"doc:a{n}#viewer@user:1"
        for n in range(levels)
    )
    asking = Asking(schema, facts)
    assert asking.allowed(f"doc:a{levels - 1}#view@user:1", depth=500)
    assert asking.allowed("doc:a0#view@user:1", depth=500) is (levels % 2 == 1)
