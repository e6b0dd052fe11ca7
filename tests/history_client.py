"""One client of the API nodes over gRPC, that notes what it asks and what it is answered."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field, replace

import grpc
from grpc import aio

from grantlog.api.v1 import service_pb2
from grantlog.errors import BehindWindowError, GrantlogError, NotFoundError, TenantDeletedError
from grantlog.model.ids import TenantId
from grantlog.testing.histories import (
    Act,
    Answered,
    History,
    Refused,
    Told,
    Watched,
    Why,
    Write,
)
from grantlog.testing.histories.promises import revision_of
from grantlog.testing.histories.record import Question
from grantlog.wire.status import error_of
from tests import workload
from tests.history_wire import (
    CALL_S_MAX,
    Stubs,
    answer_of,
    change_told,
    delete_request,
    question_call,
    write_request,
)

_EXCUSED = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""What a call may come to while things break; nothing else is an answer to a fault."""
_NOTHING = "nothing was committed"
"""What says that a write has failed for good."""


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

    def refuse(
        self, client: str, node: Stubs, tenant: TenantId, sent: str, invoked: float,
        error: aio.AioRpcError,
    ) -> bool:  # fmt: skip
        """Note a call that was told that the tenant is gone; whether it was."""
        why = _why(error)
        if why is not None:
            self.history.refused.append(
                Refused(client, tenant, node.name, invoked, now(), sent, why)
            )
        return why is not None

    def excuse(self, what: str, node: Stubs, error: aio.AioRpcError) -> None:
        """Count a failure; one that no fault excuses is kept to be told."""
        code = error.code()
        self.failed[f"{what} {code.name}"] += 1
        if code not in _EXCUSED:
            self.odd.append(f"{what} at {node.name}: {code.name}: {error.details()}")


async def write_schema(notes: Notes, client: str, node: Stubs, tenant: TenantId, text: str) -> str:
    """Write a schema; its token, "" if nobody knows what became of it."""
    place, noted = _begin(notes, Write(client, tenant, node.name, now(), act=Act.SCHEMA))
    request = service_pb2.SchemaWriteRequest(tenant_id=tenant, schema=text)
    call = node.schema.Write(request, timeout=CALL_S_MAX)
    try:
        await call
        token = str(dict(await call.trailing_metadata() or ())["grantlog-token"])
    except aio.AioRpcError as error:
        notes.excuse("schema", node, error)
        return ""
    notes.history.writes[place] = replace(noted, returned=now(), token=token)
    notes.told(tenant, token)
    return token


async def delete_tenant(notes: Notes, client: str, node: Stubs, tenant: TenantId) -> bool:
    """Delete a tenant; whether that was acknowledged."""
    place, noted = _begin(notes, Write(client, tenant, node.name, now(), act=Act.DELETION))
    try:
        request = service_pb2.TenantDeleteRequest(id=tenant)
        await node.tenancy.Delete(request, timeout=CALL_S_MAX)
    except aio.AioRpcError as error:
        notes.excuse("deletion", node, error)
        return False
    notes.history.writes[place] = replace(noted, returned=now())
    return True


async def write(
    notes: Notes, client: str, node: Stubs, tenant: TenantId, change: workload.Change
) -> str:
    """Write once; the token, "" if nobody knows what became of it. Noted before it is sent."""
    place, noted = _begin(
        notes,
        Write(
            client, tenant, node.name, now(), change.creates, change.deletes, where=change.where
        ),
    )  # fmt: skip
    try:
        if change.creates:
            reply = await node.data.Write(write_request(tenant, change), timeout=CALL_S_MAX)
        else:
            reply = await node.data.Delete(delete_request(tenant, change), timeout=CALL_S_MAX)
    except aio.AioRpcError as error:
        denied = notes.refuse(client, node, tenant, "", noted.invoked, error)
        if not denied:
            notes.excuse("write", node, error)
        if denied or _NOTHING in (error.details() or ""):
            notes.history.writes[place] = replace(noted, denied=True)
        return ""
    notes.history.writes[place] = replace(noted, returned=now(), token=reply.snap_token)
    notes.told(tenant, reply.snap_token)
    return reply.snap_token


def _begin(notes: Notes, write: Write) -> tuple[int, Write]:
    """Note a write before it is sent: where, and what."""
    notes.history.writes.append(write)
    return len(notes.history.writes) - 1, write


def _error_of(error: aio.AioRpcError) -> GrantlogError | None:
    """What a node told, None where it was the transport."""
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    raw = details if isinstance(details, bytes) else None
    return error_of(error.code().value[0], error.details() or "", raw)


def _why(error: aio.AioRpcError) -> Why | None:
    match _error_of(error):
        case NotFoundError(reason="ERROR_CODE_SCHEMA_NOT_FOUND"):
            return Why.NO_SCHEMA
        case BehindWindowError() | TenantDeletedError():
            return Why.LIFE_ENDED
        case _:
            return None


async def ask(
    notes: Notes, client: str, node: Stubs, tenant: TenantId, question: Question, sent: str
) -> str:
    """Ask once; the token that the answer stands at, "" if there was none."""
    invoked = now()
    call = question_call(node, tenant, question, sent)
    try:
        reply = await call
        answer = answer_of(question, reply)
        trailers = dict(await call.trailing_metadata() or ())
    except aio.AioRpcError as error:
        if not notes.refuse(client, node, tenant, sent, invoked, error):
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
            changes = tuple(change_told(change) for change in message.changes.data_changes)
            if changes or message.changes.snap_token != watched.last:
                watched.told.append(Told(message.changes.snap_token, changes))
    except aio.AioRpcError as error:
        told = _error_of(error)
        if isinstance(told, TenantDeletedError):
            watched.told.append(Told(told.facts["snap_token"], (), deleted=True))
        else:
            notes.excuse("watch", node, error)
