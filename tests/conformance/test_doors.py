"""Every case through the handlers in memory and through a server's two doors."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import json_format

from grantlog.api.v1 import service_pb2, service_pb2_grpc
from grantlog.errors import GrantlogError
from grantlog.serving.calls import Calls
from tests.conformance.asks import Answer, Ask, asks
from tests.conformance.corpus import Case, cases, write_json
from tests.memory_api import memory_api

CASES = cases()
STREAM = "Permission/LookupEntityStream"
CALLS = {
    "Permission/Check": ("PermissionCheckRequest", "permissions/check"),
    "Permission/BulkCheck": ("PermissionBulkCheckRequest", "permissions/bulk-check"),
    "Permission/Expand": ("PermissionExpandRequest", "permissions/expand"),
    "Permission/LookupEntity": ("PermissionLookupEntityRequest", "permissions/lookup-entity"),
    STREAM: ("PermissionLookupEntityRequest", "permissions/lookup-entity-stream"),
    "Permission/LookupSubject": ("PermissionLookupSubjectRequest", "permissions/lookup-subject"),
    "Permission/SubjectPermission": (
        "PermissionSubjectPermissionRequest", "permissions/subject-permission"),
    "Schema/Write": ("SchemaWriteRequest", "schemas/write"),
    "Data/Write": ("DataWriteRequest", "data/write"),
}  # fmt: skip


class RefusedError(Exception):
    """The name of the error that a call ended with."""


class RestDoor:
    """The API as REST."""

    def __init__(self, base_url: str, _grpc_address: str) -> None:
        self._client = httpx.Client(base_url=base_url, timeout=30)

    def call(self, tenant: str, method: str, body: dict[str, Any]) -> Answer:
        response = self._client.post(f"/v1/tenants/{tenant}/{CALLS[method][1]}", json=body)
        if response.status_code != 200:
            raise RefusedError(reason_of(response.json()["message"]))
        return response.json()

    def stream(self, tenant: str, body: dict[str, Any]) -> Answer:
        path = f"/v1/tenants/{tenant}/{CALLS[STREAM][1]}"
        with self._client.stream("POST", path, json=body) as response:
            lines = [json.loads(line) for line in response.iter_lines() if line]
        for line in lines:
            if "error" in line:
                raise RefusedError(reason_of(line["error"]["message"]))
        assert response.status_code == 200, lines
        return {"entity_ids": [line["result"]["entity_id"] for line in lines]}

    def close(self) -> None:
        self._client.close()


class GrpcDoor:
    """The API as gRPC."""

    def __init__(self, _base_url: str, address: str) -> None:
        self._channel = grpc.insecure_channel(address)

    def _started(self, tenant: str, method: str, body: dict[str, Any]) -> Any:
        service, _, name = method.partition("/")
        stub = getattr(service_pb2_grpc, f"{service}Stub")(self._channel)
        return getattr(stub, name)(message_of(tenant, method, body))

    def call(self, tenant: str, method: str, body: dict[str, Any]) -> Answer:
        try:
            return json_of(self._started(tenant, method, body))
        except grpc.RpcError as error:
            raise RefusedError(reason_of(error.details())) from error

    def stream(self, tenant: str, body: dict[str, Any]) -> Answer:
        try:
            found = self._started(tenant, STREAM, body)
            return {"entity_ids": [message.entity_id for message in found]}
        except grpc.RpcError as error:
            raise RefusedError(reason_of(error.details())) from error

    def close(self) -> None:
        self._channel.close()


def message_of(tenant: str, method: str, body: dict[str, Any]) -> Any:
    """The request of a body."""
    return json_format.ParseDict(
        body | {"tenant_id": tenant}, getattr(service_pb2, CALLS[method][0])()
    )


def json_of(message: Any) -> Answer:
    """An answer as REST shows it: nothing is left out."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def reason_of(message: str) -> str:
    """The name at the start of an error's text."""
    return message.partition(":")[0]


def writes(case: Case) -> list[tuple[str, dict[str, Any]]]:
    """The calls that make a case's world."""
    first, *later = [("Schema/Write", {"schema": text}) for text in case.schemas]
    return [first, ("Data/Write", write_json(case)), *later]


@pytest.fixture(scope="module", params=[RestDoor, GrpcDoor], ids=["rest", "grpc"])
def door(request, server):
    opened = request.param(server.rest, server.grpc)
    yield opened
    opened.close()


def heard(door: RestDoor | GrpcDoor, tenant: str, ask: Ask) -> Any:
    """What a door answers, all pages of it."""
    try:
        if ask.method == STREAM:
            return ask.read(door.stream(tenant, ask.body))
        answer = door.call(tenant, ask.method, ask.body)
        page = answer
        while ask.items and page.get("continuous_token"):
            token = page["continuous_token"]
            page = door.call(tenant, ask.method, ask.body | {"continuous_token": token})
            answer[ask.items] += page[ask.items]
        return ask.read(answer)
    except RefusedError as refused:
        return str(refused)


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.name for case in CASES])
def test_a_door_answers_as_the_case_says(door, number):
    case, tenant = CASES[number], f"{type(door).__name__}-{number}"
    for method, body in writes(case):
        door.call(tenant, method, body)
    asked = asks(case)
    assert [(str(ask), heard(door, tenant, ask)) for ask in asked] == [
        (str(ask), ask.expected) for ask in asked
    ]


@pytest.fixture
async def calls() -> AsyncIterator[Calls]:
    async with memory_api() as opened:
        yield opened


class MemoryDoor:
    """The handlers over the store in memory, and no door at all."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def call(self, tenant: str, method: str, body: dict[str, Any]) -> Answer:
        request = message_of(tenant, method, body)
        if method == STREAM:
            found = self._calls.stream(f"/base.v1.{method}", request)
            return {"entity_ids": [message.entity_id async for message in found]}
        return json_of(await self._calls.unary(f"/base.v1.{method}", request))

    async def heard(self, tenant: str, ask: Ask) -> Any:
        try:
            answer = await self.call(tenant, ask.method, ask.body)
            page = answer
            while ask.items and page.get("continuous_token"):
                body = ask.body | {"continuous_token": page["continuous_token"]}
                page = await self.call(tenant, ask.method, body)
                answer[ask.items] += page[ask.items]
            return ask.read(answer)
        except GrantlogError as error:
            return error.reason


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_the_handlers_in_memory_answer_as_the_case_says(calls, case):
    door = MemoryDoor(calls)
    for method, body in writes(case):
        await door.call("t1", method, body)
    asked = asks(case)
    assert [(str(ask), await door.heard("t1", ask)) for ask in asked] == [
        (str(ask), ask.expected) for ask in asked
    ]
