"""Group I: lookups that say other things than checks do."""

from __future__ import annotations

import pytest

from tests.advisories.doors import META, put, put_schema
from tests.advisories.node import Node, new_tenant
from tests.advisories.shapes import Shape, assert_engine_agrees, assert_served_alike

HEAD = "entity user {}\nentity group { relation member @user @group#member }\n"

TYPES = Shape(
    HEAD
    + """entity folder { relation parent @folder  attribute public boolean
      permission view = public or parent.view }
    entity doc { relation parent @folder  attribute public boolean
      permission view = public or parent.view }""",
    "folder:1$public|boolean:true doc:2$public|boolean:true doc:3#parent@folder:1 "
    "folder:4#parent@folder:1 doc:4#parent@folder:5 folder:5#parent@folder:6",
)

CONTEXT = Shape(
    HEAD
    + """rule tagged(tag string) { tag == context.data.tag }
    entity org { relation member @user  attribute tag string  permission open = tagged(tag)
      permission view = member and tagged(tag) }
    entity doc { relation org @org  relation viewer @user
      permission view = org.view
      permission look = org.open not viewer
      permission read = viewer or org.open }""",
    "org:o#member@user:ann org:o$tag|string:x doc:1#org@org:o doc:2#org@org:p "
    "org:p#member@user:ann doc:2#viewer@user:bob doc:3#org@org:o doc:3#viewer@user:ann",
    data={"tag": "x"},
)

EXCLUSION = Shape(
    HEAD
    + """entity doc {
      relation viewer @user @group#member
      relation banned @user @group#member
      relation parent @doc
      permission view = viewer not banned
      permission inherit = parent.view not banned
      permission twice = (viewer not banned) not parent.view
    }""",
    "doc:1#viewer@user:ann doc:1#banned@group:g#member group:g#member@user:bob "
    "doc:1#viewer@group:g#member doc:2#parent@doc:1 doc:2#banned@user:ann doc:3#parent@doc:1 "
    "doc:3#viewer@user:ann",
)

EVERYONE = Shape(
    HEAD
    + """entity doc {
      relation viewer @user @group#member
      relation banned @user @group#member
      attribute public boolean
      attribute open boolean
      permission all = public and open
      permission view = public not banned
      permission more = (public not banned) or viewer
      permission none = viewer not public
      permission both = (public not banned) and (open not viewer)
      permission odd = public not (open not banned)
    }""",
    "doc:1$public|boolean:true doc:1$open|boolean:true doc:1#banned@user:ann "
    "doc:1#banned@group:g#member group:g#member@user:bob doc:1#viewer@user:bob "
    "doc:2#viewer@user:cid doc:2#viewer@group:g#member",
)

SHAPES = {"types": TYPES, "context": CONTEXT, "exclusion": EXCLUSION, "everyone": EVERYONE}


def test_permify_1923_a_lookup_names_entities_of_the_asked_type_alone():
    """Permify's LookupEntity returned ids of another type where attributes were involved. Here the
    ids are those that a check of that very type allows.
    """
    assert_engine_agrees(TYPES)


def test_permify_2362_the_context_reaches_checks_behind_a_relation():
    """Permify's LookupEntity did not hand the request's context on to inner checks. Here a rule
    behind an arrow sees it, in lookups as in checks.
    """
    assert_engine_agrees(CONTEXT)


async def test_permify_2362_a_rule_that_holds_without_any_value_is_found(node: Node):
    """And an entity that has no value for a rule's argument is found where the rule holds for the
    type's zero, as its check says.
    """
    schema = (
        HEAD
        + """rule low(level integer) { level < 3 }
    entity doc { relation owner @user  attribute level integer  permission view = low(level) }"""
    )
    for door in node.doors:
        tenant = new_tenant()
        await put_schema(door, tenant, schema)
        await put(door, tenant, "doc:1#owner@user:ann doc:2$level|integer:5 doc:3$level|integer:1")
        body = {"metadata": META, "entity_type": "doc", "permission": "view",
                "subject": {"type": "user", "id": "bob"}}  # fmt: skip
        answer = await door.call("Permission/LookupEntity", tenant, body)
        assert answer["entity_ids"] == ["1", "3"]


def test_permify_492_an_exclusion_takes_away_in_lookups_too():
    """Permify's lookups got exclusions wrong. Here who is excluded is not found, and what a
    subject is excluded from is not either.
    """
    assert_engine_agrees(EXCLUSION, splits_max=64)


def test_spicedb_3136_subjects_of_an_exclusion_from_everyone():
    """SpiceDB's LookupSubjects mixed up wildcards and exclusions. Here everyone but some is a set
    of its own kind, and the known subjects in it are named.
    """
    assert_engine_agrees(EVERYONE, splits_max=64)


def test_spicedb_3140_subjects_of_an_intersection_with_everyone():
    """The same of intersections of everyone with everyone, with some, and of what is left of it:
    Permify lists nobody for them.
    """
    anyone = next(e for e in EVERYONE.entities if str(e) == "doc:1")
    assert EVERYONE.subject_ids(anyone, "all", ("user", "")) == ["ann", "bob", "cid"]
    assert EVERYONE.subject_ids(anyone, "both", ("user", "")) == ["cid"]
    assert_engine_agrees(EVERYONE)


@pytest.mark.parametrize("name", SHAPES)
async def test_lookup_parity_holds_through_both_doors(node: Node, name: str):
    """What the engine does right, the store and the doors do not undo."""
    await assert_served_alike(SHAPES[name], node.doors)
