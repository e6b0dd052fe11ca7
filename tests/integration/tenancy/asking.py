"""Every call of the API, asked of one tenant, with answers that two stores can be compared by."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

from grantlog.api.v1 import service_pb2
from grantlog.errors import GrantlogError
from grantlog.model.ids import Epoch, Revision
from grantlog.model.token import SnapToken, decode_token, encode_token
from grantlog.serving.calls import Calls
from grantlog.serving.metadata import set_request_metadata

T = TypeVar("T")
REQUESTS = {
    "Permission/Check": "PermissionCheckRequest",
    "Permission/BulkCheck": "PermissionBulkCheckRequest",
    "Permission/Expand": "PermissionExpandRequest",
    "Permission/LookupEntity": "PermissionLookupEntityRequest",
    "Permission/LookupEntityStream": "PermissionLookupEntityRequest",
    "Permission/LookupSubject": "PermissionLookupSubjectRequest",
    "Permission/SubjectPermission": "PermissionSubjectPermissionRequest",
    "Schema/Write": "SchemaWriteRequest",
    "Schema/PartialWrite": "SchemaPartialWriteRequest",
    "Schema/Read": "SchemaReadRequest",
    "Schema/List": "SchemaListRequest",
    "Data/Write": "DataWriteRequest",
    "Data/WriteRelationships": "RelationshipWriteRequest",
    "Data/Delete": "DataDeleteRequest",
    "Data/DeleteRelationships": "RelationshipDeleteRequest",
    "Data/ReadRelationships": "RelationshipReadRequest",
    "Data/ReadAttributes": "AttributeReadRequest",
    "Data/RunBundle": "BundleRunRequest",
    "Bundle/Write": "BundleWriteRequest",
    "Bundle/Read": "BundleReadRequest",
    "Bundle/Delete": "BundleDeleteRequest",
    "Tenancy/Create": "TenantCreateRequest",
    "Tenancy/Delete": "TenantDeleteRequest",
    "Tenancy/List": "TenantListRequest",
    "Watch/Watch": "WatchRequest",
}
_VERSION = re.compile(r"\b[0-9a-v]{20}\b")


def request_of(method: str, tenant: str, body: dict[str, Any]) -> Message:
    """The message of a call's JSON body."""
    kind = getattr(service_pb2, REQUESTS[method])
    named = {"id": tenant} if method in ("Tenancy/Create", "Tenancy/Delete") else {}
    named = {} if method == "Tenancy/List" else named or {"tenant_id": tenant}
    return json_format.ParseDict({**body, **named}, kind())


@dataclass
class Tenant:
    """A tenant as one store has it."""

    calls: Calls
    name: str
    versions: list[str] = field(default_factory=list)
    """Its schema versions, in the order of writing: they hold the time, which stores differ in."""

    async def call(
        self,
        method: str,
        body: dict[str, Any],
        as_of: str | None = None,
        told: Callable[[Any], None] | None = None,
    ) -> Any:
        """A call's answer as JSON, in the terms that are equal for all stores; an error's name.

        `told` is shown the message itself.
        """
        set_request_metadata([] if as_of is None else [("grantlog-as-of", as_of)])
        try:
            answer = await self.calls.unary(
                f"/base.v1.{method}", request_of(method, self.name, body)
            )
        except GrantlogError as error:
            return error.reason
        if told is not None:
            told(answer)
        found = json_format.MessageToDict(answer, preserving_proto_field_name=True)
        if "schema_version" in found:
            self.versions.append(found["schema_version"])
        return self.plain(found)

    def plain(self, value: Any, key: str = "") -> Any:
        """Schema versions by number, tokens by revision, no times."""
        if isinstance(value, dict):
            return {k: self.plain(v, k) for k, v in value.items() if k != "created_at"}
        if isinstance(value, list):
            return [self.plain(item) for item in value]
        if key == "snap_token":
            token = decode_token(self.name, value)
            return (token.epoch, token.revision)
        if key == "continuous_token":
            return bool(value)
        if isinstance(value, str) and _VERSION.fullmatch(value):
            return f"version {self.versions.index(value)}"
        return value

    async def pages(self, method: str, body: dict[str, Any], items: str) -> Any:
        """All pages of a call, joined."""
        set_request_metadata([])
        found: list[Any] = []
        token = ""
        while True:
            request = request_of(method, self.name, {**body, "continuous_token": token})
            try:
                answer: Any = await self.calls.unary(f"/base.v1.{method}", request)
            except GrantlogError as error:
                return error.reason
            page = json_format.MessageToDict(answer, preserving_proto_field_name=True)
            found += self.plain(page.get(items, []))
            token = answer.continuous_token
            if not token:
                return found

    async def stream(self, body: dict[str, Any]) -> Any:
        """The ids of a stream."""
        set_request_metadata([])
        request = request_of("Permission/LookupEntityStream", self.name, body)
        try:
            async with aclosing(
                self.calls.stream("/base.v1.Permission/LookupEntityStream", request)
            ) as messages:
                return [message.entity_id async for message in messages]
        except GrantlogError as error:
            return error.reason

    async def watched(self, after: int, head: int) -> Any:
        """The changes of the revisions in (after, head]."""
        token = encode_token(self.name, SnapToken(Epoch(1), Revision(after)))
        set_request_metadata([])
        request = request_of("Watch/Watch", self.name, {"snap_token": token})
        heard: list[Any] = []
        try:
            async with aclosing(self.calls.stream("/base.v1.Watch/Watch", request)) as messages:
                async for message in messages:
                    changes = json_format.MessageToDict(
                        message.changes, preserving_proto_field_name=True
                    )
                    if changes.get("data_changes"):
                        changes["data_changes"].sort(key=repr)  # one revision has no order
                        heard.append(self.plain(changes))
                    if decode_token(self.name, message.changes.snap_token).revision >= head:
                        return heard
        except GrantlogError as error:
            return error.reason, heard
        return heard

    async def head(self) -> int:
        """The tenant's revision, by a write that changes nothing."""
        body = {"tuple_filter": {"entity": {"type": "nothing"}}, "attribute_filter": {}}
        return (await self.call("Data/Delete", body))["snap_token"][1]


async def at_once(questions: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The answers to questions that are asked at the same time, in order."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(question) for question in questions]
    return [task.result() for task in tasks]


def checks(entities: Sequence[str], permissions: Sequence[str], subjects: Sequence[str]) -> dict:
    """A bulk check of everything by everybody."""
    return {
        "metadata": {"depth": 20},
        "items": [
            {"entity": entity(e), "permission": p, "subject": subject(s)}
            for e in entities
            for p in permissions
            for s in subjects
        ],
    }


def entity(text: str) -> dict[str, str]:
    """`doc:1` as JSON."""
    type_, _, id_ = text.partition(":")
    return {"type": type_, "id": id_}


def subject(text: str) -> dict[str, str]:
    """`group:a#member` as JSON."""
    head, _, relation = text.partition("#")
    return {**entity(head), "relation": relation}
