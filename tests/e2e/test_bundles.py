"""Bundles through both doors."""

from __future__ import annotations

import secrets

import grpc
import httpx
import pytest

from grantlog.api.v1 import base_pb2, service_pb2, service_pb2_grpc
from tests.servers import Server

SCHEMA = """entity user {} entity team { relation member @user }
entity doc { relation viewer @user @team#member  attribute public boolean
  permission view = viewer or public }"""
SHARE = {
    "name": "share",
    "arguments": ["doc", "user"],
    "operations": [
        {
            "relationships_write": ["doc:{{.doc}}#viewer@user:{{.user}}"],
            "relationships_delete": ["doc:{{.doc}}#viewer@team:all#member"],
            "attributes_write": ["doc:{{.doc}}$public|boolean:false"],
            "attributes_delete": [],
        }
    ],
}


@pytest.fixture
def api(server: Server):
    with httpx.Client(base_url=server.rest, timeout=30) as client:
        yield client


@pytest.fixture
def tenant(api: httpx.Client) -> str:
    name = f"bundles-{secrets.token_hex(6)}"
    assert api.post(f"/v1/tenants/{name}/schemas/write", json={"schema": SCHEMA}).is_success
    return name


def test_a_bundle_over_rest(api, tenant):
    base = f"/v1/tenants/{tenant}"
    answer = api.post(f"{base}/bundle/write", json={"bundles": [SHARE]})
    assert (answer.status_code, answer.json()) == (200, {"names": ["share"]})
    assert api.post(f"{base}/bundle/read", json={"name": "share"}).json() == {"bundle": SHARE}
    arguments = {"doc": "1", "user": "a+b@example.com"}
    run = api.post(f"{base}/data/run-bundle", json={"name": "share", "arguments": arguments})
    assert run.status_code == 200, run.text
    metadata = {"snap_token": run.json()["snap_token"]}
    body = {"metadata": metadata, "filter": {}}
    facts = api.post(f"{base}/data/relationships/read", json=body).json()["tuples"]
    assert [fact["subject"]["id"] for fact in facts] == ["a+b@example.com"]
    assert api.post(f"{base}/bundle/delete", json={"name": "share"}).json() == {"name": "share"}
    for path in ("bundle/read", "bundle/delete", "data/run-bundle"):
        gone = api.post(f"{base}/{path}", json={"name": "share"})
        assert (gone.status_code, gone.json()["message"]) == (404, "ERROR_CODE_BUNDLE_NOT_FOUND")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"doc": "1"}, "ERROR_CODE_MISSING_ARGUMENT"),
        ({"doc": "1", "user": "ann#member"}, "ERROR_CODE_INVALID_ARGUMENT"),
        ({"doc": "a b", "user": "ann"}, "ERROR_CODE_INVALID_ARGUMENT"),
    ],
)
def test_a_callers_mistake_in_a_run_is_400_and_explained(api, tenant, arguments, message):
    base = f"/v1/tenants/{tenant}"
    api.post(f"{base}/bundle/write", json={"bundles": [SHARE]})
    answer = api.post(f"{base}/data/run-bundle", json={"name": "share", "arguments": arguments})
    assert (answer.status_code, answer.json()["message"]) == (400, message)
    assert answer.json()["details"][0]["metadata"]["explanation"]


def test_a_template_that_is_none_is_refused_when_it_is_written(api, tenant):
    wrong = SHARE | {"operations": [{"relationships_write": ["doc:{{if .x}}1{{end}}"]}]}
    answer = api.post(f"/v1/tenants/{tenant}/bundle/write", json={"bundles": [wrong]})
    assert (answer.status_code, answer.json()["message"]) == (400, "ERROR_CODE_INVALID_ARGUMENT")


def test_a_bundle_over_grpc(server, tenant):
    bundle = base_pb2.DataBundle(
        name="b",
        arguments=["x"],
        operations=[base_pb2.Operation(attributes_write=["doc:{{.x}}$public|boolean:true"])],
    )
    with grpc.insecure_channel(server.grpc) as channel:
        stub = service_pb2_grpc.BundleStub(channel)
        data = service_pb2_grpc.DataStub(channel)
        request = service_pb2.BundleWriteRequest(tenant_id=tenant, bundles=[bundle])
        assert list(stub.Write(request).names) == ["b"]
        read = service_pb2.BundleReadRequest(tenant_id=tenant, name="b")
        assert stub.Read(read).bundle == bundle
        run = service_pb2.BundleRunRequest(tenant_id=tenant, name="b", arguments={"x": "1"})
        assert data.RunBundle(run).snap_token
        stub.Delete(service_pb2.BundleDeleteRequest(tenant_id=tenant, name="b"))
        with pytest.raises(grpc.RpcError) as caught:
            data.RunBundle(run)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
