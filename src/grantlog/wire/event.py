"""Transactions as event payloads of the log, and back.

A transaction is cut into parts of bounded size; each part repeats everything but the body. The
payload is `grantlog.event.v1.Event`, additive for ever: fields that this version does not know are
ignored, a body, an operation or a value that it does not know is an error, never skipped. It is
protobuf in the primary's table, protobuf or JSON on the topic; what reads it takes either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, assert_never

from google.protobuf.message import DecodeError

from grantlog.errors import CorruptionError, FieldViolationError, LimitError
from grantlog.event.v1 import event_pb2
from grantlog.model.chain import microseconds
from grantlog.model.change import (
    Body,
    BundleDeleted,
    BundleWritten,
    Change,
    DataWritten,
    SchemaWritten,
    TenantCreated,
    TenantDeleted,
    Transaction,
)
from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.wire import protojson
from grantlog.wire.event_bytes import TupleBytes, entry_of
from grantlog.wire.event_facts import change_from_wire, fill_change

PART_CHANGES_MAX: Final = 10_000
PART_BYTES_MAX: Final = 512 * 1024
_FRAMING_BYTES: Final = 64
"""More than the tags and lengths that surround a body in its part."""
_CHANGE_FRAMING_BYTES: Final = 6
"""The tag and the length of one change in its list."""

_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def encode_transaction(transaction: Transaction) -> list[bytes]:
    """The payloads of a transaction's parts, in part order.

    Raises:
        LimitError: one change alone, or the metadata, is larger than a part may be.
    """
    head = _head(transaction)
    room = PART_BYTES_MAX - head.ByteSize() - _FRAMING_BYTES
    if room < PART_BYTES_MAX // 2:
        raise LimitError(f"a write's metadata takes more than {PART_BYTES_MAX // 2} bytes")
    events = list(_cut(transaction.body, room))
    for part, event in enumerate(events):
        event.MergeFrom(head)
        event.part, event.parts = part, len(events)
    return [event.SerializeToString(deterministic=True) for event in events]


def _head(transaction: Transaction) -> event_pb2.Event:
    """What every part repeats."""
    return event_pb2.Event(
        tenant=transaction.tenant,
        epoch=transaction.epoch,
        revision=transaction.revision,
        commit_time_us=microseconds(transaction.commit_time),
        salt=transaction.salt,
        previous_digest=transaction.previous_digest,
        digest=transaction.digest,
        write_id=transaction.write_id,
        actor=transaction.actor,
        metadata=transaction.metadata,
    )


def _cut(body: Body, room: int) -> Iterator[event_pb2.Event]:
    """The body as events that hold nothing else, each at most `room` bytes."""
    event = event_pb2.Event()
    match body:
        case DataWritten(changes, version):
            for group in _groups(changes, version, room - len(version)):
                yield event_pb2.Event(data_written=group)
        case SchemaWritten(version, text):
            for piece in _pieces(text, room - len(version)):
                yield event_pb2.Event(
                    schema_written=event_pb2.SchemaWritten(version=version, text=piece)
                )
        case BundleWritten(name, definition):
            for piece in _pieces(definition, room - len(name.encode())):
                yield event_pb2.Event(
                    bundle_written=event_pb2.BundleWritten(name=name, definition=piece)
                )
        case BundleDeleted(name):
            event.bundle_deleted.name = name
            yield event
        case TenantCreated(name):
            event.tenant_created.name = name
            event.tenant_created.SetInParent()
            yield event
        case TenantDeleted():
            event.tenant_deleted.SetInParent()
            yield event
        case _:
            assert_never(body)


def _groups(
    changes: Iterable[Change], version: SchemaVersion, room: int
) -> Iterator[event_pb2.DataWritten]:
    """Changes in runs that fit into a part; one empty run if there are none."""
    tuples, entries, used = TupleBytes(), list[bytes](), 0
    for change in changes:
        raw = tuples.change(change)
        if raw is None:
            message = event_pb2.Change()
            fill_change(message, change)
            raw = message.SerializeToString()
        size = len(raw) + _CHANGE_FRAMING_BYTES
        if size > room:
            raise LimitError(f"one fact takes more than the {PART_BYTES_MAX} bytes of an event")
        if used + size > room or len(entries) == PART_CHANGES_MAX:
            yield _group(entries, version)
            entries, used = [], 0
        used += size
        entries.append(entry_of(raw))
    yield _group(entries, version)


def _group(entries: Sequence[bytes], version: SchemaVersion) -> event_pb2.DataWritten:
    group = event_pb2.DataWritten.FromString(b"".join(entries))
    group.schema_version = version
    return group


def _pieces(text: str, room: int) -> Iterator[str]:
    """A text in pieces of at most `room` bytes, cut between characters; one if it is empty."""
    raw = text.encode()
    start = 0
    while len(raw) - start > room:
        end = start + room
        while raw[end] & 0xC0 == 0x80:  # noqa: PLR2004 - the mark of a UTF-8 continuation byte
            end -= 1
        yield raw[start:end].decode()
        start = end
    yield raw[start:].decode()


def decode_transaction(parts: Sequence[bytes]) -> Transaction:
    """The transaction whose parts these are, in any order.

    Raises:
        CorruptionError: a part is missing, double, foreign or unreadable, or holds a kind of body,
            operation or value that this version does not know.
    """
    events = [parse_event(part) for part in parts]
    if not events:
        raise CorruptionError("a transaction without parts")
    first = events[0]
    if len(events) > 1 or (first.part, first.parts) != (0, 1):
        first = _in_order(events)
    metadata = first.metadata
    return Transaction(
        tenant=TenantId(first.tenant),
        epoch=Epoch(first.epoch),
        revision=Revision(first.revision),
        commit_time=_commit_time(first),
        body=_join(events),
        salt=first.salt,
        previous_digest=first.previous_digest,
        digest=first.digest,
        write_id=first.write_id,
        actor=first.actor,
        metadata=dict(metadata) if metadata else {},
    )


def _in_order(events: list[event_pb2.Event]) -> event_pb2.Event:
    """Put the parts of a transaction in order; the first of them.

    Raises:
        CorruptionError: they are not the parts of one transaction, or not all.
    """
    events.sort(key=lambda event: event.part)
    first = events[0]
    identity = _identity(first)
    if any(_identity(event) != identity for event in events[1:]):
        raise CorruptionError(f"parts of revision {first.revision} are of different transactions")
    found = [event.part for event in events]
    if first.parts != len(found) or found != list(range(first.parts)):
        raise CorruptionError(f"revision {first.revision} has {first.parts} parts, found {found}")
    return first


def _commit_time(event: event_pb2.Event) -> datetime:
    try:
        return _UNIX_EPOCH + timedelta(microseconds=event.commit_time_us)
    except OverflowError as error:
        raise CorruptionError(f"revision {event.revision} has a time that is none") from error


def is_deletion(payload: bytes) -> bool:
    """Whether a part is a deletion of its tenant.

    Raises:
        CorruptionError: it is not readable.
    """
    return parse_event(payload).WhichOneof("body") == "tenant_deleted"


def event_as_json(payload: bytes) -> bytes:
    """The JSON form of a part: proto field names, every field told, 64-bit integers as strings.

    Fields that this version does not know are left out; a body that it does not know leaves none,
    and readers stop at that as they do at an unknown one.

    Raises:
        CorruptionError: it is not readable.
    """
    return protojson.encode(parse_event(payload))


def parse_event(part: bytes) -> event_pb2.Event:
    """The message of a part, in either form, not judged yet.

    Raises:
        CorruptionError: it is not readable.
    """
    try:
        # As protobuf this byte would begin a group, which events never have.
        if part.startswith(b"{"):
            return protojson.decode(event_pb2.Event, part)
        return event_pb2.Event.FromString(part)
    except (DecodeError, FieldViolationError) as error:
        raise CorruptionError("an event payload is not readable") from error


def _identity(event: event_pb2.Event) -> tuple[object, ...]:
    return (
        event.tenant,
        event.epoch,
        event.revision,
        event.parts,
        event.digest,
        event.WhichOneof("body"),
    )


def _join(events: Sequence[event_pb2.Event]) -> Body:
    first = events[0]
    match first.WhichOneof("body"):
        case "data_written":
            revision = first.revision
            changes = [  # a list is made faster than a tuple of a generator: replay feels it
                change_from_wire(change, revision)
                for event in events
                for change in event.data_written.changes
            ]
            return DataWritten(tuple(changes), SchemaVersion(first.data_written.schema_version))
        case "schema_written":
            text = "".join(event.schema_written.text for event in events)
            return SchemaWritten(SchemaVersion(first.schema_written.version), text)
        case "tenant_created":
            return TenantCreated(first.tenant_created.name)
        case "tenant_deleted":
            return TenantDeleted()
        case "bundle_written":
            definition = "".join(event.bundle_written.definition for event in events)
            return BundleWritten(first.bundle_written.name, definition)
        case "bundle_deleted":
            return BundleDeleted(first.bundle_deleted.name)
        case None:
            raise CorruptionError(f"revision {first.revision} is of a kind that is not known here")
