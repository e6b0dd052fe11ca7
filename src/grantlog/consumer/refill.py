"""What the topic lacks, read from an API node by Watch."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

import grpc
from grpc import aio

from grantlog.api.v1 import base_pb2, service_pb2, service_pb2_grpc
from grantlog.consumer.values import Entry, RebuildNeededError, TenantPosition
from grantlog.errors import InvalidInputError, PreconditionError, UnavailableError
from grantlog.model.change import (
    AttributeChange,
    Change,
    DataWritten,
    Operation,
    TenantDeleted,
    TupleChange,
)
from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.model.token import SnapToken, decode_token, encode_token
from grantlog.wire import facts
from grantlog.wire.google import error_details_pb2, status_pb2

_DETAILS: Final = "grpc-status-details-bin"
_OPTIONS: Final = [("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0)]
_REBUILD: Final = frozenset({"LOST_WRITE", "BEYOND_HEAD", "INVALID_SNAP_TOKEN"})
_AGAIN: Final = frozenset({"UNAVAILABLE", "SLOW_READER", "LIMIT_EXCEEDED"})
_CODES_AGAIN: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)


@dataclass(frozen=True, slots=True)
class Api:
    """An API node (or the address of several) that answers Watch.

    Attributes:
        address: `host:port` of gRPC.
        credentials: for TLS; None speaks plain text.
        metadata: sent with each call: how you prove who you are, where that is asked.
    """

    address: str
    credentials: grpc.ChannelCredentials | None = None
    metadata: tuple[tuple[str, str], ...] = ()

    def channel(self) -> aio.Channel:
        """A new channel to it."""
        if self.credentials is None:
            return aio.insecure_channel(self.address, options=_OPTIONS)
        return aio.secure_channel(self.address, self.credentials, options=_OPTIONS)


async def refill(
    api: Api, tenant: TenantId, at: TenantPosition, *, epoch: Epoch, through: Revision
) -> AsyncGenerator[Entry]:
    """The revisions of a tenant behind a position, through `through`, those that changed facts.

    Args:
        api: who is asked.
        tenant: of whom.
        at: where the consumer stands.
        epoch: of the event that showed the gap; names the beginning where nothing was applied.
        through: the last revision that lacks.

    Raises:
        RebuildNeededError: the position is of a history that was lost.
        UnavailableError: the node does not answer, or not any more.
        PreconditionError: it refuses to answer.
    """
    place = SnapToken(Epoch(at.epoch or epoch), Revision(at.revision))
    async with api.channel() as channel:
        while place.revision < through or at.revision == through:
            try:
                async for entry in _watched(api, channel, tenant, place, through):
                    place = SnapToken(entry.epoch, entry.revision)
                    yield entry
            except aio.AioRpcError as error:
                deleted = _deleted(tenant, error)
                if deleted is None:
                    raise _translated(tenant, error) from error
                if deleted.revision > through:
                    return  # its deletion comes on the topic
                place = deleted
                yield Entry(tenant, place.epoch, place.revision, TenantDeleted(), refilled=True)
                continue
            return


async def _watched(
    api: Api, channel: aio.Channel, tenant: TenantId, place: SnapToken, through: Revision
) -> AsyncGenerator[Entry]:
    stub = service_pb2_grpc.WatchStub(channel)
    request = service_pb2.WatchRequest(tenant_id=tenant, snap_token=encode_token(tenant, place))
    call = stub.Watch(request, metadata=api.metadata)
    changes: list[Change] = []
    try:
        async for response in call:
            told = response.changes
            token = decode_token(tenant, told.snap_token)
            if token.revision > through:
                return
            changes += map(_change, told.data_changes)
            if changes and token.revision > place.revision:
                body = DataWritten(tuple(changes), SchemaVersion(""))
                yield Entry(tenant, token.epoch, token.revision, body, refilled=True)
                changes, place = [], token
            if token.revision == through:
                return
    finally:
        call.cancel()


def _change(message: base_pb2.DataChange) -> Change:
    try:
        operation = Operation(message.operation)
    except ValueError as error:
        raise PreconditionError("Watch tells an operation that is not known here") from error
    if message.WhichOneof("type") == "tuple":
        return TupleChange(operation, facts.relation_tuple(message.tuple))
    try:
        return AttributeChange(operation, facts.attribute(message.attribute))
    except InvalidInputError as error:
        raise PreconditionError("Watch tells a fact that is not known here") from error


def _deleted(tenant: TenantId, error: aio.AioRpcError) -> SnapToken | None:
    info = _info(error)
    if info.reason != "TENANT_DELETED":
        return None
    return decode_token(tenant, info.metadata["snap_token"])


def _translated(tenant: TenantId, error: aio.AioRpcError) -> Exception:
    info = _info(error)
    said = info.metadata.get("explanation") or error.details() or error.code().name
    if info.reason in _REBUILD:
        return RebuildNeededError(tenant, said)
    if info.reason in _AGAIN or error.code() in _CODES_AGAIN:
        return UnavailableError(f"reading what the topic lacks: {said}")
    return PreconditionError(f"reading what the topic lacks: {said}")


def _info(error: aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    """What the error's details say; empty if there are none."""
    info = error_details_pb2.ErrorInfo()
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS and isinstance(value, bytes):
            for detail in status_pb2.Status.FromString(value).details:
                if detail.Unpack(info):
                    return info
    return info
