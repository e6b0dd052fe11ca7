"""How the node's reader of the topic speaks to its followers: frames on a stream of bytes. Pure.

One direction only. Each frame has a head, and a body by its kind: who begins is told first what it
is going to hear, then come records, and at last why there are no more. Both ends are processes of
one node; the version is for a worker that starts after an upgrade under an older supervisor.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from grantlog.changelog.kafka.source import Record
from grantlog.errors import CorruptionError

VERSION: Final = 1

FRAME_BYTES: Final = 256 * 1024
"""A frame ends with the first record that fills it: beyond that it holds one record at most."""

FRAME_BYTES_MAX: Final = 128 * 1024 * 1024
"""A longer one was not sent by us: topics keep messages of a few mebibytes."""

LATE_S_MAX: Final = 3.0
"""Between reading a record and its being taken in by a follower: who is later begins anew."""

_HEAD: Final = struct.Struct("<IBBdQI")
HEAD_BYTES: Final = _HEAD.size
_RECORD: Final = struct.Struct("<IqiiI")
_HEADER: Final = struct.Struct("<Ii")
_NONE: Final = -1


class Kind(IntEnum):
    """What a frame's body is."""

    BEGUN = 0
    """The Kafka that is read, by its own name: records from now on follow."""
    RECORDS = 1
    """Records, each partition's in order."""
    AWAY = 2
    """Why there are no more: a sentence for people."""


_KINDS: Final = frozenset(Kind)


class Head(NamedTuple):
    """What stands before each body."""

    body_bytes: int
    kind: Kind
    read_at: float
    """When it was read, in seconds of the machine's clock that never goes back."""
    records_read: int
    """By the reader, since its process began."""
    followers_cut: int
    """Because they did not keep up, since its process began."""


class SharedRecord(NamedTuple):
    """A record as it comes out of a frame."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


def frame(
    kind: Kind, body: bytes, *, read_at: float, records_read: int = 0, followers_cut: int = 0
) -> bytes:
    """A whole frame; arguments as of `Head`."""
    return _HEAD.pack(len(body), VERSION, kind, read_at, records_read, followers_cut) + body


def read_head(data: bytes | bytearray) -> Head:
    """The head that some bytes begin with, at least `HEAD_BYTES` of them.

    Raises:
        CorruptionError: they are not of this version, or nothing that we send.
    """
    length, version, kind, read_at, records_read, followers_cut = _HEAD.unpack_from(data)
    if version != VERSION:
        raise CorruptionError(
            "the node's supervisor is of another version than this worker: start the node anew"
        )
    if kind not in _KINDS or length > FRAME_BYTES_MAX:
        raise CorruptionError("the node's reader of the topic said what it never says")
    return Head(length, Kind(kind), read_at, records_read, followers_cut)


def bodies_of(records: Sequence[Record]) -> Iterator[bytes]:
    """Bodies that hold the records in order, each of about `FRAME_BYTES` at most."""
    pieces: list[bytes] = []
    size = 0
    for record in records:
        size += _put(pieces, record)
        if size >= FRAME_BYTES:
            yield b"".join(pieces)
            pieces, size = [], 0
    if pieces:
        yield b"".join(pieces)


def _put(pieces: list[bytes], record: Record) -> int:
    """Add a record to what will be a body; the bytes that it takes."""
    key, value, headers = record.key, record.value, record.headers
    before = len(pieces)
    pieces.append(
        _RECORD.pack(record.partition, record.offset, _length(key), _length(value), len(headers))
    )
    pieces += (key or b"", value or b"")
    for name, text in headers:
        named = name.encode()
        pieces += (_HEADER.pack(len(named), _length(text)), named, text or b"")
    return sum(map(len, pieces[before:]))


def _length(text: bytes | None) -> int:
    return _NONE if text is None else len(text)


def records_in(body: bytes) -> list[SharedRecord]:
    """The records of a body.

    Raises:
        CorruptionError: it is none.
    """
    found: list[SharedRecord] = []
    at = 0
    try:
        while at < len(body):
            record, at = _record_at(body, at)
            found.append(record)
    except (struct.error, UnicodeDecodeError) as error:
        raise CorruptionError("the node's reader of the topic sent no records") from error
    if at != len(body):
        raise CorruptionError("the node's reader of the topic sent a part of a record")
    return found


def _record_at(body: bytes, at: int) -> tuple[SharedRecord, int]:
    """The record that begins at a place, and the place behind it."""
    partition, offset, key_bytes, value_bytes, count = _RECORD.unpack_from(body, at)
    at += _RECORD.size
    key, at = _text_at(body, at, key_bytes)
    value, at = _text_at(body, at, value_bytes)
    headers: list[tuple[str, bytes | None]] = []
    for _ in range(count):
        name_bytes, text_bytes = _HEADER.unpack_from(body, at)
        at += _HEADER.size
        name = body[at : at + name_bytes].decode()
        text, at = _text_at(body, at + name_bytes, text_bytes)
        headers.append((name, text))
    return SharedRecord(partition, offset, key, value, tuple(headers)), at


def _text_at(body: bytes, at: int, length: int) -> tuple[bytes | None, int]:
    if length == _NONE:
        return None, at
    if length < 0:
        raise CorruptionError("the node's reader of the topic sent no records")
    return body[at : at + length], at + length
