"""Schemas edited in part, through both doors."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import pytest

from grantlog.api.v1 import base_pb2, service_pb2, service_pb2_grpc
from tests.servers import Server

SCHEMA = "entity user {}\nentity doc {\n  relation viewer @user\n  permission view = viewer\n}\n"


@pytest.fixture
def api(server: Server):
    with httpx.Client(base_url=server.rest, timeout=30) as client:
        yield client


@pytest.fixture
def tenant(api: httpx.Client) -> str:
    name = f"partial-{secrets.token_hex(6)}"
    assert api.post(f"/v1/tenants/{name}/schemas/write", json={"schema": SCHEMA}).is_success
    return name


def edited(api, tenant, version="", **partials):
    body = {"metadata": {"schema_version": version}, "partials": partials}
    return api.patch(f"/v1/tenants/{tenant}/schemas/partial-write", json=body)


def definition(api, tenant):
    body = {"metadata": {"schema_version": ""}}
    return api.post(f"/v1/tenants/{tenant}/schemas/read", json=body).json()["schema"]


def test_an_entity_is_edited_and_the_result_is_in_force(api, tenant):
    answer = edited(
        api,
        tenant,
        doc={
            "write": ["relation owner @user"],
            "update": ["permission view = viewer or owner"],
            "delete": [],
        },
        user={"write": ["attribute active boolean"]},
    )
    assert answer.status_code == 200, answer.text
    schema = definition(api, tenant)["entity_definitions"]
    assert set(schema["doc"]["relations"]) == {"viewer", "owner"}
    assert set(schema["user"]["attributes"]) == {"active"}
    stale = edited(api, tenant, "0" * 20, doc={"delete": ["owner"]})
    assert (stale.status_code, stale.json()["message"]) == (404, "ERROR_CODE_SCHEMA_NOT_FOUND")


def test_an_edit_of_a_version_that_is_not_in_force_any_more_is_aborted(api, tenant):
    first = edited(api, tenant, doc={"write": ["relation a @user"]}).json()["schema_version"]
    second = edited(api, tenant, first, doc={"write": ["relation b @user"]})
    assert second.status_code == 200
    third = edited(api, tenant, first, doc={"write": ["relation c @user"]})
    assert (third.status_code, third.json()["code"]) == (409, 10)
    assert set(definition(api, tenant)["entity_definitions"]["doc"]["relations"]) == {
        "viewer", "a", "b",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("partials", "status", "message"),
    [
        ({"film": {}}, 404, "ERROR_CODE_ENTITY_STATEMENT_NOT_FOUND"),
        ({"doc": {"delete": ["owner"]}}, 404, "ERROR_CODE_REFERENCE_NOT_FOUND"),
        ({"doc": {"write": ["relation view @user"]}}, 400, "ERROR_CODE_ALREADY_EXIST"),
        ({"doc": {"write": ["relation"]}}, 400, "1:9: in doc.write[0]: expected a name"),
        ({"doc": {"delete": ["viewer"]}}, 400, "3:21: "),
    ],
)
def test_what_a_caller_can_fix_is_4xx(api, tenant, partials, status, message):
    answer = edited(api, tenant, **partials)
    assert answer.status_code == status
    assert answer.json()["message"].startswith(message)


def test_concurrent_edits_all_take_effect(server, api, tenant):
    names = [f"r_{letter}" for letter in "abcdef"]
    with grpc.insecure_channel(server.grpc) as channel, ThreadPoolExecutor() as threads:
        write = service_pb2_grpc.SchemaStub(channel).PartialWrite

        def add(name):
            partial = base_pb2.Partials(write=[f"relation {name} @user"])
            request = service_pb2.SchemaPartialWriteRequest(
                tenant_id=tenant,
                metadata=service_pb2.SchemaPartialWriteRequestMetadata(),
                partials={"doc": partial},
            )
            return write(request).schema_version

        versions = set(threads.map(add, names))
    assert len(versions) == len(names)
    relations = definition(api, tenant)["entity_definitions"]["doc"]["relations"]
    assert set(relations) == {"viewer", *names}
