"""Every case through a server's two doors."""

from __future__ import annotations

import grpc
import httpx
import pytest
from google.protobuf import json_format

from grantlog.api.v1 import service_pb2, service_pb2_grpc
from tests.conformance.corpus import Case, Question, cases, check_json, write_json

CAN = {"CHECK_RESULT_ALLOWED": True, "CHECK_RESULT_DENIED": False}
CASES = cases()


class RestDoor:
    """The API as REST."""

    def __init__(self, base_url: str, _grpc_address: str) -> None:
        self._client = httpx.Client(base_url=base_url, timeout=30)

    def prepare(self, tenant: str, case: Case) -> None:
        first, *later = [{"schema": text} for text in case.schemas]
        self._must(tenant, "schemas/write", first)
        self._must(tenant, "data/write", write_json(case))
        for schema in later:
            self._must(tenant, "schemas/write", schema)

    def _must(self, tenant: str, path: str, body: dict) -> None:
        response = self._client.post(f"/v1/tenants/{tenant}/{path}", json=body)
        assert response.status_code == 200, response.text

    def check(self, tenant: str, question: Question) -> bool | str:
        path = f"/v1/tenants/{tenant}/permissions/check"
        response = self._client.post(path, json=check_json(question))
        if response.status_code != 200:
            return reason_of(response.json()["message"])
        return CAN[response.json()["can"]]

    def close(self) -> None:
        self._client.close()


class GrpcDoor:
    """The API as gRPC."""

    def __init__(self, _base_url: str, address: str) -> None:
        self._channel = grpc.insecure_channel(address)
        self._schema = service_pb2_grpc.SchemaStub(self._channel)
        self._data = service_pb2_grpc.DataStub(self._channel)
        self._permission = service_pb2_grpc.PermissionStub(self._channel)

    def prepare(self, tenant: str, case: Case) -> None:
        requests = [
            service_pb2.SchemaWriteRequest(tenant_id=tenant, schema=s) for s in case.schemas
        ]
        self._schema.Write(requests[0])
        write = service_pb2.DataWriteRequest(tenant_id=tenant)
        self._data.Write(json_format.ParseDict(write_json(case), write))
        for request in requests[1:]:
            self._schema.Write(request)

    def check(self, tenant: str, question: Question) -> bool | str:
        request = service_pb2.PermissionCheckRequest(tenant_id=tenant)
        json_format.ParseDict(check_json(question), request)
        try:
            return self._permission.Check(request).can == 1
        except grpc.RpcError as error:
            return reason_of(error.details())

    def close(self) -> None:
        self._channel.close()


def reason_of(message: str) -> str:
    """The name at the start of an error's text."""
    return message.partition(":")[0]


@pytest.fixture(scope="module", params=[RestDoor, GrpcDoor], ids=["rest", "grpc"])
def door(request, server):
    opened = request.param(server.rest, server.grpc)
    yield opened
    opened.close()


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.name for case in CASES])
def test_a_door_answers_as_the_case_says(door, number):
    case, tenant = CASES[number], f"{type(door).__name__}-{number}"
    door.prepare(tenant, case)
    answers = [(str(q), door.check(tenant, q)) for q in case.questions]
    assert answers == [(str(q), q.expected) for q in case.questions]
