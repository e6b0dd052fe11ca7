"""Group B: who is everyone.

Our language has no wildcard subject: `user:*` is a subject called `*`, as in Permify. What stands
for everyone is a true boolean attribute, and a rule that holds. Each of these shapes has the bug's
form with that "everyone", and with a literal `*` beside it.
"""

from __future__ import annotations

import pytest

from tests.advisories.shapes import Shape, assert_engine_agrees, assert_served_alike

HEAD = "entity user {}\nentity group { relation member @user @group#member }\n"

EXCLUDED = Shape(
    HEAD
    + """entity doc {
      relation viewer @user @group#member
      relation banned @user @group#member
      attribute public boolean
      attribute closed boolean
      permission view = viewer not closed
      permission look = public not banned
      permission both = viewer and public
      permission none = public not public
      permission open = (public not banned) or viewer
      permission deep = (viewer or public) not (banned or closed)
    }""",
    "doc:1#viewer@user:ann doc:1#viewer@user:* doc:1#banned@user:ann doc:1$public|boolean:true "
    "doc:2$closed|boolean:true doc:2#viewer@user:ann doc:2#viewer@user:bob",
)

TUPLESET = Shape(
    HEAD
    + """entity folder {
      relation viewer @user
      attribute public boolean
      permission view = viewer or public
    }
    entity doc {
      relation parent @folder
      relation owner @user
      permission view = parent.view
      permission keep = parent.view not owner
      permission share = parent.view and owner
    }""",
    "doc:1#parent@folder:* doc:2#parent@folder:1 folder:1#viewer@user:ann "
    "folder:*$public|boolean:true doc:1#owner@user:ann doc:2#owner@user:*",
)

BOTH_KINDS = Shape(
    HEAD
    + """entity doc {
      relation viewer @user @group#member
      attribute public boolean
      permission view = viewer or public
      permission edit = viewer and public
      permission rest = public not viewer
    }""",
    "doc:1#viewer@user:* doc:1#viewer@group:eng#member group:eng#member@user:ann "
    "group:eng#member@group:*#member group:*#member@user:bob doc:1$public|boolean:true",
)

RULE = Shape(
    HEAD
    + """rule odd(level integer) { level % 2 == 1 || level % 2 == -1 }
    rule tagged(tag string) { tag == context.data.tag }
    entity doc {
      relation viewer @user
      attribute level integer
      attribute tag string
      permission view = viewer and odd(level)
      permission look = odd(level) not viewer
      permission read = tagged(tag) and odd(level)
    }""",
    "doc:1#viewer@user:* doc:1#viewer@user:ann doc:2#viewer@user:* doc:2$level|integer:3 "
    "doc:1$tag|string:x doc:2$tag|string:x",
    data={"tag": "x"},
)

MERGED = Shape(
    HEAD
    + """entity doc {
      relation viewer @user @group#member
      relation editor @user @group#member
      attribute public boolean
      permission view = viewer or editor or public
      permission edit = (viewer or public) and (editor or public)
    }""",
    "doc:m#viewer@user:ann doc:z$public|boolean:true doc:a$public|boolean:true "
    "doc:zz#editor@group:eng#member group:eng#member@user:ann doc:m#editor@user:bob",
)

SHAPES = [EXCLUDED, TUPLESET, BOTH_KINDS, RULE, MERGED]


@pytest.mark.parametrize("shape", [EXCLUDED, MERGED])
def test_cve_2022_21646_everyone_on_either_side_of_an_operator_counts_in_lookups(shape):
    """SpiceDB's lookups ignored a wildcard on the right of an exclusion or in an intersection, and
    so named who had no access. Here lookups name exactly those whom a check allows.
    """
    assert_engine_agrees(shape)


def test_cve_2022_39341_and_39352_an_arrow_over_a_star_reaches_that_one_entity():
    """OpenFGA took a wildcard on the relation of an arrow for every object, and granted through
    objects that nobody had named. Here `folder:*` is the folder called `*` and no other.
    """
    assert_engine_agrees(TUPLESET)


def test_cve_2025_25196_a_relation_for_everyone_and_for_groups_at_once():
    """OpenFGA allowed too much where a relation took both `user:*` and a userset of the same type.
    Here who is in the relation is who is named, and whom a named group holds.
    """
    assert_engine_agrees(BOTH_KINDS)


@pytest.mark.parametrize("shape", SHAPES)
def test_cve_2025_48371_it_does_not_matter_which_facts_are_sent_along(shape):
    """The same over-grant came back in OpenFGA when the wildcard tuple was a contextual one. Here
    every way to divide a world between store and request gives one and the same answer.
    """
    assert_engine_agrees(shape, splits_max=64)


def test_cve_2025_64751_a_fact_without_its_condition_does_not_pass_for_one_with_it():
    """OpenFGA accepted an unconditioned wildcard tuple where only a conditioned one was allowed.
    Here the condition is in the permission: no tuple can bring a grant past its rule.
    """
    assert_engine_agrees(RULE)


def test_cve_2026_24851_public_and_private_entities_in_any_order_of_ids():
    """OpenFGA lost grants when a public tuple and a private one belonged to objects whose ids sort
    the wrong way for its merge. Here ids on all sides of each other are all found.
    """
    assert_engine_agrees(MERGED)


@pytest.mark.parametrize("shape", SHAPES)
async def test_group_b_holds_through_both_doors(node, shape):
    """What the engine does right, the store and the doors do not undo."""
    await assert_served_alike(shape, node.doors)
