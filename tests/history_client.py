"""One client of the API nodes over gRPC, that notes what it asks and what it is answered."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

import grpc
from grpc import aio

from grantlog.api.v1 import base_pb2, service_pb2, service_pb2_grpc
from grantlog.model.change import Change, Operation, TupleChange
from grantlog.model.ids import TenantId
from grantlog.model.tuples import RelationTuple
from grantlog.testing.histories import (
    Answered,
    Checks,
    Entities,
    History,
    Told,
    Tuples,
    Watched,
    Write,
)
from grantlog.testing.histories.promises import revision_of
from grantlog.testing.histories.record import Answer, Question
from grantlog.wire import convert
from tests import workload

CALL_S_MAX = 10.0
DEPTH = 50
_OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.use_local_subchannel_pool", 1),
]
_EXCUSED = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""What a call may come to while things break; nothing else is an answer to a fault."""


def now() -> float:
    return time.monotonic()


@dataclass
class Notes:
    """What all clients of a round noted."""

    history: History = field(default_factory=History)
    failed: Counter[str] = field(default_factory=Counter)
    """Calls that failed in a way that a fault excuses, by their code."""
    odd: list[str] = field(default_factory=list)
    """Calls that failed in any other way."""
    latest: dict[TenantId, str] = field(default_factory=dict)
    """The newest token that anybody was told."""

    def told(self, tenant: TenantId, token: str) -> None:
        known = self.latest.get(tenant, "")
        self.latest[tenant] = max(token, known, key=lambda t: revision_of(tenant, t))

    def excuse(self, what: str, node: Stubs, error: aio.AioRpcError) -> None:
        """Count a failure; one that no fault excuses is kept to be told."""
        code = error.code()
        self.failed[f"{what} {code.name}"] += 1
        if code not in _EXCUSED:
            self.odd.append(f"{what} at {node.name}: {code.name}: {error.details()}")


class Stubs:
    """A node as one client reaches it."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.channel = aio.insecure_channel(address, options=_OPTIONS)
        self.data = service_pb2_grpc.DataStub(self.channel)
        self.permission = service_pb2_grpc.PermissionStub(self.channel)
        self.watch = service_pb2_grpc.WatchStub(self.channel)
        self.schema = service_pb2_grpc.SchemaStub(self.channel)


async def write_schema(notes: Notes, node: Stubs, tenant: TenantId, text: str) -> str:
    """Write a schema; its token, "" if nobody knows what became of it."""
    request = service_pb2.SchemaWriteRequest(tenant_id=tenant, schema=text)
    call = node.schema.Write(request, timeout=CALL_S_MAX)
    try:
        await call
        token = str(dict(await call.trailing_metadata() or ())["grantlog-token"])
    except aio.AioRpcError as error:
        notes.excuse("schema", node, error)
        return ""
    notes.told(tenant, token)
    return token


async def write(
    notes: Notes, client: str, node: Stubs, tenant: TenantId, change: workload.Change
) -> str:
    """Write once; the token, "" if nobody knows what became of it. Noted before it is sent."""
    invoked = now()
    noted = Write(client, tenant, node.name, invoked, change.creates, change.deletes)
    place = len(notes.history.writes)
    notes.history.writes.append(noted)
    try:
        if change.creates:
            reply = await node.data.Write(_write_request(tenant, change), timeout=CALL_S_MAX)
        else:
            reply = await node.data.Delete(_delete_request(tenant, change), timeout=CALL_S_MAX)
    except aio.AioRpcError as error:
        notes.excuse("write", node, error)
        return ""
    notes.history.writes[place] = Write(
        client, tenant, node.name, invoked, change.creates, change.deletes, now(), reply.snap_token
    )
    notes.told(tenant, reply.snap_token)
    return reply.snap_token


async def ask(
    notes: Notes, client: str, node: Stubs, tenant: TenantId, question: Question, sent: str
) -> str:
    """Ask once; the token that the answer stands at, "" if there was none."""
    invoked = now()
    call = _call(node, tenant, question, sent)
    try:
        reply = await call
        answer = _answer(question, reply)
        trailers = dict(await call.trailing_metadata() or ())
    except aio.AioRpcError as error:
        notes.excuse(type(question).__name__.lower(), node, error)
        return ""
    token, source = str(trailers["grantlog-token"]), str(trailers["grantlog-source"])
    notes.history.answers.append(
        Answered(client, tenant, node.name, invoked, now(), question, sent, token, source, answer)
    )
    notes.told(tenant, token)
    return token


async def watch(notes: Notes, watched: Watched, node: Stubs) -> None:
    """Watch from where the watcher stands, until the stream ends."""
    request = service_pb2.WatchRequest(tenant_id=watched.tenant, snap_token=watched.last)
    try:
        async for message in node.watch.Watch(request):
            changes = tuple(_change(change) for change in message.changes.data_changes)
            if changes or message.changes.snap_token != watched.last:
                watched.told.append(Told(message.changes.snap_token, changes))
    except aio.AioRpcError as error:
        notes.excuse("watch", node, error)


def _write_request(tenant: TenantId, change: workload.Change) -> service_pb2.DataWriteRequest:
    return service_pb2.DataWriteRequest(
        tenant_id=tenant,
        metadata=service_pb2.DataWriteRequestMetadata(),
        tuples=[convert.tuple_message(fact) for fact in change.creates],
    )


def _delete_request(tenant: TenantId, change: workload.Change) -> service_pb2.DataDeleteRequest:
    """One filter that matches these tuples and no other: they differ in their subjects' ids."""
    first: RelationTuple = change.deletes[0]
    where = base_pb2.TupleFilter(
        entity=base_pb2.EntityFilter(type=first.entity.type, ids=[first.entity.id]),
        relation=first.relation,
        subject=base_pb2.SubjectFilter(
            type=first.subject.type,
            ids=[fact.subject.id for fact in change.deletes],
            relation=first.subject.relation,
        ),
    )
    return service_pb2.DataDeleteRequest(
        tenant_id=tenant, tuple_filter=where, attribute_filter=base_pb2.AttributeFilter()
    )


def _call(node: Stubs, tenant: TenantId, question: Question, sent: str) -> aio.UnaryUnaryCall:
    match question:
        case Checks((one,)):
            request = service_pb2.PermissionCheckRequest(
                tenant_id=tenant,
                metadata=service_pb2.PermissionCheckRequestMetadata(snap_token=sent, depth=DEPTH),
                entity=convert.entity_message(one.entity),
                permission=one.permission,
                subject=convert.subject_message(one.subject),
            )
            return node.permission.Check(request, timeout=CALL_S_MAX)
        case Checks(asked):
            items = [
                service_pb2.PermissionBulkCheckRequestItem(
                    entity=convert.entity_message(one.entity),
                    permission=one.permission,
                    subject=convert.subject_message(one.subject),
                )
                for one in asked
            ]
            request = service_pb2.PermissionBulkCheckRequest(
                tenant_id=tenant,
                metadata=service_pb2.PermissionCheckRequestMetadata(snap_token=sent, depth=DEPTH),
                items=items,
            )
            return node.permission.BulkCheck(request, timeout=CALL_S_MAX)
        case Entities(entity_type, permission, subject):
            request = service_pb2.PermissionLookupEntityRequest(
                tenant_id=tenant,
                metadata=service_pb2.PermissionLookupEntityRequestMetadata(
                    snap_token=sent, depth=DEPTH
                ),
                entity_type=entity_type,
                permission=permission,
                subject=convert.subject_message(subject),
                page_size=1000,
            )
            return node.permission.LookupEntity(request, timeout=CALL_S_MAX)
        case Tuples(condition):
            request = service_pb2.RelationshipReadRequest(
                tenant_id=tenant,
                metadata=service_pb2.RelationshipReadRequestMetadata(snap_token=sent),
                filter=base_pb2.TupleFilter(
                    entity=base_pb2.EntityFilter(type=condition.entity_type)
                ),
                page_size=1000,
            )
            return node.data.ReadRelationships(request, timeout=CALL_S_MAX)


def _answer(question: Question, reply: object) -> Answer:
    match reply:
        case service_pb2.PermissionCheckResponse():
            return (reply.can == base_pb2.CHECK_RESULT_ALLOWED,)
        case service_pb2.PermissionBulkCheckResponse():
            return tuple(one.can == base_pb2.CHECK_RESULT_ALLOWED for one in reply.results)
        case service_pb2.PermissionLookupEntityResponse():
            assert not reply.continuous_token
            return frozenset(reply.entity_ids)
        case service_pb2.RelationshipReadResponse():
            assert not reply.continuous_token
            return frozenset(convert.relation_tuple(fact) for fact in reply.tuples)
        case _:
            raise AssertionError(f"{question}: {reply}")


def _change(message: base_pb2.DataChange) -> Change:
    return TupleChange(Operation(message.operation), convert.relation_tuple(message.tuple))
