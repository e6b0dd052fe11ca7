"""Depth is a budget of steps, counted along chains; sharing and order never change it."""

from __future__ import annotations

import pytest

from grantlog.errors import DepthExceededError, InvalidInputError
from tests.unit.engine.asking import Asking

CHAIN = """
entity user {}
entity doc {
  relation owner @user
  permission a = b
  permission b = c
  permission c = owner
}
"""


def test_depth_d_allows_a_chain_of_d_plus_one_steps():
    asking = Asking(CHAIN, "doc:1#owner@user:1")
    assert asking.allowed("doc:1#a@user:1", depth=3)
    assert asking.allowed("doc:1#owner@user:1", depth=0)
    with pytest.raises(DepthExceededError):
        asking.check("doc:1#a@user:1", depth=2)
    with pytest.raises(DepthExceededError):
        asking.check("doc:1#a@user:2", depth=2)


def test_every_userset_and_every_subject_of_an_arrow_costs_one():
    schema = """
    entity user {}
    entity group { relation member @user @group#member }
    entity folder {
      relation parent @folder
      relation owner @user
      permission view = owner or parent.view
    }
    """
    asking = Asking(
        schema,
        "group:a#member@group:b#member group:b#member@group:c#member group:c#member@user:1 "
        "folder:a#parent@folder:b folder:b#parent@folder:c folder:c#owner@user:1",
    )
    assert asking.allowed("group:a#member@user:1", depth=2)
    with pytest.raises(DepthExceededError):
        asking.check("group:a#member@user:1", depth=1)
    assert asking.allowed("folder:a#view@user:1", depth=3)
    with pytest.raises(DepthExceededError):
        asking.check("folder:a#view@user:1", depth=2)


def test_operators_cost_nothing_but_each_leaf_costs_one():
    schema = """
    entity user {}
    entity doc {
      relation owner @user
      attribute public boolean
      attribute level integer
      permission view = ((owner or public) and low(level)) not blocked
      permission seen = public
      permission tame = low(level)
      relation blocked @user
    }
    rule low(level integer) {
      level < 3
    }
    """
    asking = Asking(schema, "doc:1$public|boolean:true")
    assert asking.allowed("doc:1#view@user:1", depth=1)
    for name in ("view", "seen", "tame"):
        with pytest.raises(DepthExceededError):
            asking.check(f"doc:1#{name}@user:1", depth=0)


def test_what_needs_no_depth_is_decided_without_it():
    schema = "entity user {}\nentity group { relation member @user @group#member }"
    asking = Asking(schema, "group:a#member@user:1 group:a#member@group:b#member")
    assert asking.allowed("group:a#member@user:1", depth=0)
    assert not asking.allowed("group:b#member@user:1", depth=0)
    with pytest.raises(DepthExceededError):
        asking.check("group:a#member@user:2", depth=0)


DIAMOND = """
entity user {}
entity doc {
  relation self @doc
  relation owner @user
  permission view = {view}
  permission far = far_b
  permission far_b = far_c
  permission far_c = far_d
  permission far_d = x
  permission near = x
  permission x = y
  permission y = owner
}
"""


@pytest.mark.parametrize("view", ["far or near", "near or far", "far or self.near"])
def test_a_node_reached_again_by_a_shorter_chain_gets_the_larger_budget(view: str):
    """With depth 5 the long chain ends at x with nothing left; the short one reaches the owner."""
    asking = Asking(DIAMOND.replace("{view}", view), "doc:1#owner@user:1 doc:1#self@doc:1")
    assert asking.allowed("doc:1#view@user:1", depth=5)


def test_a_shared_node_counts_with_the_budget_of_its_shortest_chain():
    asking = Asking(DIAMOND.replace("{view}", "far and near"), "doc:1#owner@user:1")
    assert asking.allowed("doc:1#view@user:1", depth=4)
    with pytest.raises(DepthExceededError):
        asking.check("doc:1#view@user:1", depth=3)


def test_a_shorter_chain_counts_though_what_it_starts_from_did_not_matter():
    """`skip` is allowed by its left side alone; only its right side is a short way to x."""
    schema = DIAMOND.replace("{view}", "skip and far").replace(
        "permission near", "permission skip = owner or self.x\n  permission near"
    )
    asking = Asking(schema, "doc:1#self@doc:1 doc:1#owner@user:1")
    assert asking.allowed("doc:1#view@user:1", depth=5)
    assert asking.allowed("doc:1#view@user:1", depth=5, context="doc:1#owner@user:1")


@pytest.mark.parametrize("depth", [-1, 1001])
def test_depths_out_of_range_are_refused(depth: int):
    with pytest.raises(InvalidInputError):
        Asking(CHAIN).check("doc:1#a@user:1", depth=depth)


def test_a_thousand_levels_need_no_stack():
    facts = " ".join(f"group:{n}#member@group:{n + 1}#member" for n in range(999))
    schema = "entity user {}\nentity group { relation member @user @group#member }"
    asking = Asking(schema, f"{facts} group:999#member@user:1")
    assert asking.allowed("group:0#member@user:1", depth=1000)
    assert not asking.allowed("group:0#member@user:2", depth=1000)
    with pytest.raises(DepthExceededError):
        asking.check("group:0#member@user:1", depth=998)
