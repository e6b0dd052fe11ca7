"""Messages of the topic. docs/change-topic.md is the contract that others read.

An event's value is the payload that the primary's table holds, byte for byte, or the JSON of the
same message; what a reader needs before it decodes stands in headers. A heartbeat says what is
complete.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, Literal, NamedTuple

from google.protobuf.message import DecodeError

from grantlog.changelog.parts import Part
from grantlog.errors import CorruptionError, FieldViolationError
from grantlog.event.v1 import event_pb2
from grantlog.model.chain import microseconds
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.wire import protojson
from grantlog.wire.event import event_as_json

MESSAGE_BYTES_MAX: Final = 1024 * 1024
"""More than a part of a transaction with its key and headers can have."""

JSON_MESSAGE_BYTES_MAX: Final = 6 * 1024 * 1024
"""The same, as JSON: a byte of text takes at most six (a control character, `false` of a list), and
each of 10,000 changes at most 200 for the names of its fields."""

Form = Literal["protobuf", "json"]
"""How values are written; readers take either."""

CONTENT_TYPE: Final = "content-type"
CONTENT_TYPES: Final[dict[Form, bytes]] = {
    "protobuf": b"application/x-protobuf",
    "json": b"application/json",
}
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


def message_bytes_max(form: Form) -> int:
    """The room that a topic must have for one message."""
    return JSON_MESSAGE_BYTES_MAX if form == "json" else MESSAGE_BYTES_MAX


def event_message(part: Part, *, partition: int, fence: Fence, form: Form = "protobuf") -> Outgoing:
    """The message of one part.

    Raises:
        CorruptionError: its payload is not readable, which only JSON needs.
    """
    headers = (
        (KIND, EVENT),
        (PUBLISHER, b"%d.%d" % fence),
        (REVISION, b"%d" % part.revision),
        (PART, b"%d/%d" % (part.part, part.parts)),
        (CONTENT_TYPE, CONTENT_TYPES[form]),
    )
    value = event_as_json(part.payload) if form == "json" else part.payload
    return Outgoing(partition, part.tenant.encode(), value, headers)


def heartbeat_message(
    *, partition: int, fence: Fence, through: datetime, form: Form = "protobuf"
) -> Outgoing:
    """The message that says that everything before `through` has been sent."""
    beat = event_pb2.Heartbeat(
        epoch=fence.epoch,
        publisher_epoch=fence.publisher_epoch,
        partition=partition,
        through_us=microseconds(through),
    )
    headers = (
        (KIND, HEARTBEAT),
        (PUBLISHER, b"%d.%d" % fence),
        (CONTENT_TYPE, CONTENT_TYPES[form]),
    )
    is_json = form == "json"
    value = protojson.encode(beat) if is_json else beat.SerializeToString(deterministic=True)
    return Outgoing(partition, None, value, headers)


def read_message(
    key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]
) -> EventMessage | HeartbeatMessage:
    """What a record of the topic says; a header without a value, as Kafka allows, counts as none.

    Raises:
        CorruptionError: it is of no kind known here, or not readable.
    """
    found = {name: text for name, text in headers if text is not None}
    kind = found.get(KIND)
    is_json = _is_json(found.get(CONTENT_TYPE), value or b"")
    try:
        fence = _fence(found[PUBLISHER])
        if kind == HEARTBEAT:
            decode = partial(protojson.decode, event_pb2.Heartbeat)
            beat = (decode if is_json else event_pb2.Heartbeat.FromString)(value or b"")
            through = _UNIX_EPOCH + timedelta(microseconds=beat.through_us)
            return HeartbeatMessage(fence, through)
        if kind == EVENT and key and value:
            part, parts = _part(found[PART])
            revision = Revision(int(found[REVISION]))
            return EventMessage(fence, TenantId(key.decode()), revision, part, parts, value)
    except (KeyError, ValueError, OverflowError, DecodeError, FieldViolationError) as error:
        raise CorruptionError("its headers or its value are not readable") from error
    name = kind.decode(errors="replace")[:40] if kind else "none"
    raise CorruptionError(f"its kind ({name}) is not known to this version, or it lacks a key")


def _is_json(content_type: bytes | None, value: bytes) -> bool:
    """Whether a message's value is JSON; without a header, as of old, it is protobuf.

    Raises:
        CorruptionError: it is of a form that is not known here, or not of the one that it names.
    """
    if content_type not in (None, *CONTENT_TYPES.values()):
        raise CorruptionError("its content-type is not known to this version")
    is_json = content_type == CONTENT_TYPES["json"]
    if value and is_json != value.startswith(b"{"):
        raise CorruptionError("its value is not of the form that its content-type names")
    return is_json


def _part(text: bytes) -> tuple[int, int]:
    part, parts = (int(number) for number in text.split(b"/"))
    if not 0 <= part < parts:
        raise ValueError("a part that is none")
    return part, parts


def _fence(text: bytes) -> Fence:
    epoch, publisher_epoch = (int(number) for number in text.split(b"."))
    return Fence(Epoch(epoch), publisher_epoch)
