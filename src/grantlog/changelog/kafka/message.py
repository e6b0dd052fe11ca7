"""Messages of the topic. docs/change-topic.md is the contract that others read.

An event's value is the payload that the primary's table holds, byte for byte; what a reader needs
before it decodes stands in headers. A heartbeat says what is complete.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError

from grantlog.changelog.postgres.outbox import Part
from grantlog.errors import CorruptionError
from grantlog.event.v1 import event_pb2
from grantlog.model.chain import microseconds
from grantlog.model.ids import Epoch, Revision, TenantId

MESSAGE_BYTES_MAX: Final = 1024 * 1024
"""More than a part of a transaction with its key and headers can have."""

KIND: Final = "grantlog-kind"
PUBLISHER: Final = "grantlog-publisher"
REVISION: Final = "grantlog-revision"
PART: Final = "grantlog-part"
EVENT: Final = b"event"
HEARTBEAT: Final = b"heartbeat"

_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Fence(NamedTuple):
    """Which publisher sent a message; a lower one behind a higher is ignored.

    The log's epoch comes first: after a failover the lease table of the new primary may count the
    same publisher epochs as the old one's.
    """

    epoch: Epoch
    publisher_epoch: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to be sent."""

    partition: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class EventMessage:
    """A part of a transaction, not decoded yet."""

    fence: Fence
    tenant: TenantId
    revision: Revision
    part: int
    parts: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class HeartbeatMessage:
    """Every transaction of this partition committed before `through` stands before this message."""

    fence: Fence
    through: datetime


def partition_of(tenant: TenantId, partitions: int) -> int:
    """The partition of a tenant: CRC-32 of its id, so that any language can compute it."""
    return zlib.crc32(tenant.encode()) % partitions


def event_message(part: Part, *, partition: int, fence: Fence) -> Outgoing:
    """The message of one part."""
    headers = (
        (KIND, EVENT),
        (PUBLISHER, b"%d.%d" % fence),
        (REVISION, b"%d" % part.revision),
        (PART, b"%d/%d" % (part.part, part.parts)),
    )
    return Outgoing(partition, part.tenant.encode(), part.payload, headers)


def heartbeat_message(*, partition: int, fence: Fence, through: datetime) -> Outgoing:
    """The message that says that everything before `through` has been sent."""
    beat = event_pb2.Heartbeat(
        epoch=fence.epoch,
        publisher_epoch=fence.publisher_epoch,
        partition=partition,
        through_us=microseconds(through),
    )
    headers = ((KIND, HEARTBEAT), (PUBLISHER, b"%d.%d" % fence))
    return Outgoing(partition, None, beat.SerializeToString(deterministic=True), headers)


def read_message(
    key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]
) -> EventMessage | HeartbeatMessage:
    """What a record of the topic says.

    Raises:
        CorruptionError: it is of no kind known here, or not readable.
    """
    found = dict(headers)
    kind = found.get(KIND)
    try:
        fence = _fence(found[PUBLISHER])
        if kind == HEARTBEAT:
            beat = event_pb2.Heartbeat.FromString(value or b"")
            through = _UNIX_EPOCH + timedelta(microseconds=beat.through_us)
            return HeartbeatMessage(fence, through)
        if kind == EVENT and key and value:
            part, parts = _part(found[PART])
            revision = Revision(int(found[REVISION]))
            return EventMessage(fence, TenantId(key.decode()), revision, part, parts, value)
    except (KeyError, ValueError, OverflowError, DecodeError) as error:
        raise CorruptionError("its headers or its value are not readable") from error
    name = kind.decode(errors="replace")[:40] if kind else "none"
    raise CorruptionError(f"its kind ({name}) is not known to this version, or it lacks a key")


def _part(text: bytes) -> tuple[int, int]:
    part, parts = (int(number) for number in text.split(b"/"))
    if not 0 <= part < parts:
        raise ValueError("a part that is none")
    return part, parts


def _fence(text: bytes) -> Fence:
    epoch, publisher_epoch = (int(number) for number in text.split(b"."))
    return Fence(Epoch(epoch), publisher_epoch)
