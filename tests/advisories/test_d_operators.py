"""Group D: intersection, exclusion and several rules where paths meet."""

from __future__ import annotations

import pytest

from tests.advisories.shapes import Shape, assert_engine_agrees, assert_served_alike

HEAD = "entity user {}\nentity group { relation member @user @group#member }\n"

BUT_NOT = Shape(
    HEAD
    + """entity org { relation member @user @group#member  relation blocked @user @group#member
      permission access = member not blocked }
    entity doc {
      relation org @org
      relation viewer @user @group#member
      relation blocked @user @group#member
      permission view = viewer not blocked
      permission look = org.access not blocked
      permission read = (viewer or org.access) not (blocked or org.blocked)
      permission both = viewer and org.member
      permission some = (viewer and org.access) or (viewer not org.member)
    }""",
    "doc:1#viewer@group:eng#member doc:1#blocked@group:bad#member group:eng#member@user:ann "
    "group:eng#member@user:bob group:bad#member@user:bob doc:1#org@org:o "
    "org:o#member@group:eng#member org:o#blocked@user:ann",
)

ARROWS = Shape(
    HEAD
    + """entity folder {
      relation viewer @user @group#member
      relation banned @user
      permission view = viewer not banned
    }
    entity doc {
      relation parent @folder
      permission view = parent.view
      permission any = parent.viewer not parent.banned
      permission all = parent.viewer and parent.banned
    }""",
    "doc:1#parent@folder:a doc:1#parent@folder:b doc:2#parent@folder:a folder:a#viewer@user:ann "
    "folder:a#banned@user:ann folder:b#viewer@user:ann folder:b#banned@user:bob",
)

RULES = Shape(
    HEAD
    + """rule odd(level integer) { level % 2 == 1 || level % 2 == -1 }
    rule tagged(tag string) { tag == context.data.tag }
    rule within(score double) { score <= context.data.limit }
    entity folder {
      relation viewer @user @group#member
      attribute tag string
      attribute level integer
      permission view = viewer and tagged(tag)
      permission odd_view = viewer and odd(level)
    }
    entity doc {
      relation parent @folder
      relation viewer @group#member
      attribute score double
      attribute level integer
      permission view = parent.view or (viewer and within(score))
      permission look = parent.view and odd(level)
      permission read = (parent.view or parent.odd_view) not within(score)
      permission full = parent.view and parent.odd_view
    }""",
    "doc:1#parent@folder:a doc:1#parent@folder:b folder:a#viewer@group:g#member "
    "folder:b#viewer@group:g#member group:g#member@user:ann folder:a$tag|string:x "
    "folder:b$level|integer:3 doc:1$score|double:2.5 doc:2#viewer@group:g#member",
    data={"tag": "x", "limit": 2.0},
)

SHAPES = [BUT_NOT, ARROWS, RULES]


def test_cve_2024_31452_an_intersection_needs_every_side():
    """OpenFGA's ListObjects and Check granted with only part of an intersection or exclusion held,
    in some nestings. Here every call needs what the expression says.
    """
    assert_engine_agrees(BUT_NOT)


def test_cve_2024_42473_but_not_with_from_and_a_userset():
    """OpenFGA mixed up results where `but not` met an arrow and a userset, and granted. Here the
    right side takes away whoever it holds, however it holds them.
    """
    assert_engine_agrees(BUT_NOT, splits_max=64)


def test_cve_2024_38361_an_exclusion_under_an_arrow_with_several_entities():
    """SpiceDB denied a subject that one of several related entities allows, as another one
    excluded it. Here each entity behind the arrow is judged by itself, and one is enough.
    """
    assert_engine_agrees(ARROWS, splits_max=64)


def test_cve_2024_46989_several_rules_over_one_kind_of_indirect_subject():
    """SpiceDB lost a grant when several caveats led to the same type of indirect subject. Here
    the rules of all paths are judged, each by itself.
    """
    assert_engine_agrees(RULES)


def test_cve_2025_49011_several_branches_with_rules_through_arrows():
    """SpiceDB lost caveated branches that met behind arrows. Here each branch counts, and which
    of its facts were sent along makes no difference.
    """
    assert_engine_agrees(RULES, splits_max=64)


@pytest.mark.parametrize("shape", SHAPES)
async def test_group_d_holds_through_both_doors(node, shape):
    """What the engine does right, the store and the doors do not undo."""
    await assert_served_alike(shape, node.doors)
