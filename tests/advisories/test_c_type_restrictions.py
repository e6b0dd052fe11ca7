"""Group C: what a relation admits, and what an arrow may stand on."""

from __future__ import annotations

import pytest

from grantlog.errors import GrantlogError
from grantlog.model.tuples import Subject
from grantlog.schema.compile import compile_schema
from tests.advisories.doors import RefusedError, bulk, facts_json, put, put_schema
from tests.advisories.node import new_tenant
from tests.advisories.shapes import Shape, assert_engine_agrees, assert_served_alike

HEAD = "entity user {}\nentity group { relation member @user @group#member }\n"

FROM = Shape(
    HEAD
    + """entity folder {
      relation viewer @user @group#member
      relation archive @folder
      permission view = viewer
    }
    entity doc {
      relation parent @folder
      relation origin @folder
      relation viewer @user
      permission view = parent.view
      permission read = parent.view or viewer
      permission both = parent.view and origin.view
      permission only = parent.view not origin.view
    }""",
    "doc:1#parent@folder:a doc:2#origin@folder:a doc:3#viewer@user:ann folder:a#viewer@user:ann "
    "folder:b#viewer@user:bob doc:4#parent@folder:b doc:4#origin@folder:a",
)

SEVERAL = Shape(
    HEAD
    + """entity team {
      relation lead @user @team#lead
      relation crew @user @group#member @team#lead
    }
    entity doc {
      relation viewer @user @group#member @team#lead @team#crew
      relation banned @team#crew @group#member
      permission view = viewer
      permission edit = viewer not banned
      permission all = viewer and banned
    }""",
    "doc:1#viewer@team:a#crew doc:1#viewer@team:a#lead doc:1#viewer@group:g#member "
    "team:a#lead@user:ann team:a#crew@team:b#lead team:b#lead@user:bob group:g#member@user:cid "
    "doc:1#banned@team:a#crew",
)


@pytest.mark.parametrize("operand", ["view.viewer", "public.viewer", "nothing.viewer", "a.b.c"])
def test_cve_2022_39342_an_arrow_stands_on_a_relation_alone(operand):
    """OpenFGA evaluated arrows over relations that hold no direct tuples and granted wrongly. Here
    an arrow over anything but a relation is no schema at all.
    """
    schema = f"""entity user {{}} entity doc {{
        relation viewer @user  attribute public boolean
        permission view = viewer  permission look = {operand} }}"""
    with pytest.raises(GrantlogError):
        compile_schema(schema)


def test_cve_2023_40579_lookups_keep_to_the_relation_of_an_arrow():
    """OpenFGA's ListObjects followed any relation to the related object, not only the one that the
    arrow names. Here a document behind another relation is not found.
    """
    assert_engine_agrees(FROM)
    assert FROM.entity_ids("doc", "view", Subject("user", "ann", "")) == ["1"]


def test_cve_2025_55213_several_usersets_on_one_relation_are_all_followed_and_none_twice():
    """OpenFGA judged wrongly where one relation took several usersets. Here each kind counts for
    what it is.
    """
    assert_engine_agrees(SEVERAL)


@pytest.mark.parametrize("shape", [FROM, SEVERAL])
async def test_cve_2023_40579_and_2025_55213_hold_through_both_doors(node, shape):
    """What the engine does right, the store and the doors do not undo."""
    await assert_served_alike(shape, node.doors)


async def test_cve_2022_23542_tuples_of_an_older_schema_grant_nothing(node):
    """OpenFGA counted tuples that only an older model admitted. Here a tuple whose kind the schema
    in force does not admit is as if it were not there, and it counts again when it is admitted.
    """
    old = HEAD + "entity doc { relation viewer @user @group#member  permission view = viewer }"
    new = HEAD + "entity doc { relation viewer @user  permission view = viewer }"
    questions = ["doc:1#view@user:ann", "doc:1#view@user:bob", "doc:1#viewer@group:eng#member"]
    for door in node.doors:
        tenant = new_tenant()
        version = await put_schema(door, tenant, old)
        await put(door, tenant, [
            "doc:1#viewer@group:eng#member", "group:eng#member@user:ann", "doc:1#viewer@user:bob"
        ])  # fmt: skip
        assert await bulk(door, tenant, questions) == [True, True, True]
        await put_schema(door, tenant, new)
        assert await bulk(door, tenant, questions) == [False, True, False]
        body = {"metadata": {"depth": 20}, "entity_type": "doc", "permission": "view",
                "subject": {"type": "user", "id": "ann"}}  # fmt: skip
        assert (await door.call("Permission/LookupEntity", tenant, body))["entity_ids"] == []
        body = {"metadata": {"depth": 20}, "entity": {"type": "doc", "id": "1"},
                "permission": "view", "subject_reference": {"type": "user"}}  # fmt: skip
        assert (await door.call("Permission/LookupSubject", tenant, body))["subject_ids"] == ["bob"]
        with pytest.raises(RefusedError, match="SUBJECT_TYPE_NOT_FOUND"):
            await put(door, tenant, "doc:2#viewer@group:eng#member")
        sent = {"tuples": facts_json("doc:2#viewer@group:eng#member")["tuples"]}
        assert await bulk(door, tenant, ["doc:2#view@user:ann"], context=sent) == [False]
        # Asked by the version that admits them, and once they are admitted again.
        assert await bulk(door, tenant, questions, schema_version=version) == [True, True, True]
        await put_schema(door, tenant, old)
        assert await bulk(door, tenant, questions) == [True, True, True]
