"""Bulk checks, expansions and lookups through both doors of a running service."""

from __future__ import annotations

import itertools

import pytest
from google.protobuf import json_format

from grantlog.api.v1 import base_pb2
from tests.e2e.doors import Grpc, RefusedError, Rest
from tests.servers import Server

SCHEMA = """
entity user {}
entity group { relation member @user @group#member }
entity doc {
  relation viewer @user @group#member
  relation banned @user
  attribute public boolean
  attribute level integer
  permission view = viewer or public
  permission edit = viewer not banned
  permission low = is_low(level)
}
rule is_low(level integer) { level < context.data.limit }
"""
STREAM = "permissions/lookup-entity-stream"
_tenants = (f"questions-{n}" for n in itertools.count())


def subject(text: str) -> dict:
    head, _, relation = text.partition("#")
    type_, _, id_ = head.partition(":")
    return {"type": type_, "id": id_, "relation": relation}


def entity(text: str) -> dict:
    type_, _, id_ = text.partition(":")
    return {"type": type_, "id": id_}


def fact(text: str) -> dict:
    head, _, rest = text.partition("@")
    place, _, relation = head.partition("#")
    return {"entity": entity(place), "relation": relation, "subject": subject(rest)}


@pytest.fixture(params=[Rest, Grpc], ids=["rest", "grpc"])
def door(request, server: Server):
    opened = request.param(server)
    yield opened
    opened.close()


@pytest.fixture
def tenant(door) -> str:
    name = next(_tenants)
    door.call(name, "schemas/write", {"schema": SCHEMA})
    facts = [f"doc:{n:02}#viewer@group:eng#member" for n in range(25)]
    facts += ["group:eng#member@user:1", "group:eng#member@user:2", "doc:03#banned@user:1"]
    value = {"@type": "type.googleapis.com/base.v1.BooleanValue", "data": True}
    attribute = {"entity": entity("doc:open"), "attribute": "public", "value": value}
    body = {"metadata": {}, "tuples": [fact(text) for text in facts], "attributes": [attribute]}
    door.call(name, "data/write", body)
    return name


META = {"depth": 20}
DOCS = {"metadata": META, "entity_type": "doc", "permission": "edit", "subject": subject("user:1")}
EDITABLE = [f"{n:02}" for n in range(25) if n != 3]


def test_entities_are_looked_up_in_pages(door, tenant: str):
    found, token = [], ""
    while True:
        body = {**DOCS, "page_size": 10, "continuous_token": token}
        answer, _ = door.call(tenant, "permissions/lookup-entity", body)
        found += answer["entity_ids"]
        token = answer.get("continuous_token", "")
        if not token:
            break
    assert found == EDITABLE
    everything, _ = door.call(tenant, "permissions/lookup-entity", {**DOCS, "permission": "view"})
    assert everything["entity_ids"] == [*(f"{n:02}" for n in range(25)), "open"]


def test_entities_are_streamed_each_with_a_token(door, tenant: str):
    items = door.call(tenant, STREAM, DOCS)[0]
    assert [item["entity_id"] for item in items] == EDITABLE
    rest = door.call(tenant, STREAM, {**DOCS, "continuous_token": items[20]["continuous_token"]})[0]
    assert [item["entity_id"] for item in rest] == EDITABLE[21:]
    assert not items[-1].get("continuous_token")
    scoped = door.call(tenant, STREAM, {**DOCS, "scope": {"doc": {"data": ["03", "04", "no"]}}})[0]
    assert [item["entity_id"] for item in scoped] == ["04"]


def test_a_foreign_page_token_is_refused(door, tenant: str):
    answer, _ = door.call(tenant, "permissions/lookup-entity", {**DOCS, "page_size": 1})
    token = answer["continuous_token"]
    for change in ({"permission": "view"}, {"continuous_token": token[:-3]}):
        with pytest.raises(RefusedError, match="INVALID_CONTINUOUS_TOKEN"):
            door.call(
                tenant, "permissions/lookup-entity", {**DOCS, "continuous_token": token} | change
            )


def test_subjects_are_looked_up(door, tenant: str):
    body = {"metadata": META, "entity": entity("doc:03"), "permission": "edit",
            "subject_reference": {"type": "user"}}  # fmt: skip
    answer, _ = door.call(tenant, "permissions/lookup-subject", body)
    assert answer["subject_ids"] == ["2"]
    body["entity"], body["permission"] = entity("doc:open"), "view"
    answer, _ = door.call(tenant, "permissions/lookup-subject", body)
    assert answer["subject_ids"] == ["1", "2"]
    with pytest.raises(RefusedError, match="SCHEMA_NOT_FOUND"):
        door.call(tenant, "permissions/lookup-subject", {**body, "permission": "none"})


def test_a_bulk_check_names_the_items_that_are_wrong(door, tenant: str):
    items = [
        {"entity": entity("doc:01"), "permission": "edit", "subject": subject("user:1")},
        {"entity": entity("doc:01"), "permission": "none", "subject": subject("user:1")},
        {"entity": entity("doc:03"), "permission": "edit", "subject": subject("user:1")},
        {"entity": entity("doc:03"), "permission": "low", "subject": subject("user:1")},
    ]
    body = {"metadata": META, "items": items}
    answer, said = door.call(tenant, "permissions/bulk-check", body)
    can = [result["can"].removeprefix("CHECK_RESULT_") for result in answer["results"]]
    assert can == ["ALLOWED", "DENIED", "DENIED", "DENIED"]
    assert said["grantlog-item-errors"] == (
        "1=ERROR_CODE_SCHEMA_NOT_FOUND,3=RULE_EVALUATION_FAILED"
    )
    body = {"metadata": META, "items": items[:1], "context": {"data": {"limit": 1}}}
    assert "grantlog-item-errors" not in door.call(tenant, "permissions/bulk-check", body)[1]


def test_all_permissions_of_a_subject_are_told(door, tenant: str):
    body = {
        "metadata": {**META, "only_permission": True},
        "entity": entity("doc:03"),
        "subject": subject("user:1"),
        "context": {"data": {"limit": 1}},
    }
    answer, _ = door.call(tenant, "permissions/subject-permission", body)
    assert {k: v.endswith("ALLOWED") for k, v in answer["results"].items()} == {
        "view": True, "edit": False, "low": True,
    }  # fmt: skip


def test_a_permission_is_expanded(door, tenant: str):
    body = {"metadata": {}, "entity": entity("doc:03"), "permission": "edit"}
    answer, _ = door.call(tenant, "permissions/expand", body)
    tree = json_format.ParseDict(answer["tree"], base_pb2.Expand())
    assert tree.expand.operation == base_pb2.ExpandTreeNode.OPERATION_EXCLUSION
    viewers, banned = tree.expand.children
    assert [s.id for s in banned.leaf.subjects.subjects] == ["1"]
    members, direct = viewers.expand.children
    assert [s.id for s in members.leaf.subjects.subjects] == ["1", "2"]
    assert [(s.type, s.id, s.relation) for s in direct.leaf.subjects.subjects] == [
        ("group", "eng", "member")
    ]
