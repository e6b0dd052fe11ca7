"""Group F: schemas and tuples that go round in circles."""

from __future__ import annotations

import asyncio

import pytest

from tests.advisories.doors import META, Door, RefusedError, bulk, check, put, put_schema
from tests.advisories.node import Node, new_tenant
from tests.advisories.shapes import Shape, assert_engine_agrees, assert_served_alike

ANSWER_S_MAX = 30
"""Far beyond what any of it takes, and far below what a walk along every path would."""

CIRCULAR = Shape(
    """entity user { relation member @user  permission far = member }
    entity group {
      relation member @user @group#member
      relation team @group#member
      permission one = two
      permission two = three or one
      permission three = one or member
      permission far = team.far or team.member
    }
    entity doc {
      relation parent @doc
      relation viewer @user @group#member
      permission view = viewer or parent.view
      permission both = view and parent.both
      permission deny = view not viewer
    }""",
    "group:a#member@group:b#member group:b#member@group:a#member "
    "group:a#team@group:a#member group:b#team@group:a#member group:b#member@user:ann "
    "doc:1#parent@doc:2 doc:2#parent@doc:1 doc:1#parent@doc:1 doc:2#viewer@group:a#member",
)


def test_cve_2023_35933_schemas_and_tuples_in_circles_have_answers():
    """OpenFGA ran out of stack on circular models and tuples. Here every question has its answer:
    what nothing but itself supports is denied.
    """
    assert_engine_agrees(CIRCULAR)


async def test_cve_2023_35933_holds_through_both_doors(node: Node):
    """What the engine does right, the store and the doors do not undo."""
    await assert_served_alike(CIRCULAR, node.doors)


CLIQUE = 30


async def ask_everything(door: Door, tenant: str) -> None:
    """Every call about a clique of groups, with the greatest depth."""
    meta = META | {"depth": 1000}
    ann, stranger = {"type": "user", "id": "ann"}, {"type": "user", "id": "no"}
    members = await bulk(
        door, tenant, [f"group:{n}#member@user:ann" for n in range(CLIQUE)], depth=1000
    )
    assert members == [True] * CLIQUE
    assert not await check(door, tenant, "group:7#member@user:no", depth=1000)
    for subject, expected in ((ann, CLIQUE), (stranger, 0)):
        body = {"metadata": meta, "entity_type": "group", "permission": "member",
                "subject": subject}  # fmt: skip
        answer = await door.call("Permission/LookupEntity", tenant, body)
        assert len(answer["entity_ids"]) == expected
        assert len(await door.stream("Permission/LookupEntityStream", tenant, body)) == expected
    body = {"metadata": meta, "entity": {"type": "group", "id": "3"}, "permission": "member",
            "subject_reference": {"type": "user"}}  # fmt: skip
    assert (await door.call("Permission/LookupSubject", tenant, body))["subject_ids"] == ["ann"]
    body = {"metadata": {}, "entity": {"type": "group", "id": "3"}, "permission": "member"}
    with pytest.raises(RefusedError, match="LIMIT_EXCEEDED"):
        await door.call("Permission/Expand", tenant, body)


async def test_cve_2023_43645_a_clique_of_groups_costs_no_more_than_its_tuples(node: Node):
    """OpenFGA's Check walked circular relationships path by path until it had no memory or stack.
    Here thirty groups that all hold each other, in which there are more paths than atoms, are
    looked at once each; a tree, which would name every path, ends at its bound.
    """
    tenant = new_tenant()
    await put_schema(
        node.rest, tenant, "entity user {} entity group { relation member @user @group#member }"
    )
    facts = [
        f"group:{a}#member@group:{b}#member" for a in range(CLIQUE) for b in range(CLIQUE) if a != b
    ]
    await put(node.rest, tenant, [*facts, "group:0#member@user:ann"])
    async with asyncio.timeout(ANSWER_S_MAX):
        for door in node.doors:
            await ask_everything(door, tenant)


# Permify 1.7.3 compiles the first one for ever: the relation behind its arrow leads to itself.
IN_CIRCLES = [
    "relation team @group#member  permission x = team.member",
    "permission x = y  permission y = x",
    "permission x = x",
    "relation r @group#r  permission x = r.x",
    "relation r @group#s  relation s @group#r  permission x = r.s or s.x",
    "permission x = member.x not team.x  relation team @group#team @group",
]


@pytest.mark.parametrize("names", IN_CIRCLES)
async def test_cve_2023_43645_a_circular_schema_is_compiled_or_refused(node: Node, names: str):
    """A schema in circles ends the writing of it, with an answer, and so do questions to it."""
    schema = f"""entity user {{ relation member @user  permission x = member }}
    entity group {{ relation member @user @group#member
    {names} }}"""
    for door in node.doors:
        tenant = new_tenant()
        async with asyncio.timeout(ANSWER_S_MAX):
            await put_schema(door, tenant, schema)
            await put(door, tenant, "group:1#member@group:2#member group:2#member@group:1#member")
            for _ in range(2):
                try:
                    assert not await check(door, tenant, "group:1#x@user:1", depth=1000)
                except RefusedError as error:
                    assert error.reason == "ERROR_CODE_DEPTH_NOT_ENOUGH"  # noqa: PT017 - also right
