"""The digest chain: each transaction's digest covers its content and its predecessor's digest.

Ids enter as salted hashes, so that an id can later be erased (its hash kept) without breaking the
chain. Every part is length-prefixed: no two contents share an encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Final, assert_never

from grantlog.model.attributes import AttributeValue, Scalar
from grantlog.model.change import (
    AttributeChange,
    Body,
    BundleDeleted,
    BundleWritten,
    Change,
    DataWritten,
    Operation,
    SchemaWritten,
    TenantCreated,
    TenantDeleted,
    TupleChange,
)
from grantlog.model.ids import Epoch, Revision, TenantId

DIGEST_BYTES: Final = 16
SALT_BYTES: Final = 16
GENESIS: Final = b"\x00" * DIGEST_BYTES
"""The predecessor's digest of revision 1."""

_EPOCH_START: Final = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(time: datetime) -> int:
    """Microseconds since 1970 UTC, exact (no float in between)."""
    since = time - _EPOCH_START
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def transaction_digest(
    previous: bytes,
    *,
    tenant: TenantId,
    epoch: Epoch,
    revision: Revision,
    commit_time: datetime,
    body: Body,
    salt: bytes,
) -> bytes:
    """The digest of a transaction, `DIGEST_BYTES` long."""
    head = struct.pack(">QQq", epoch, revision, microseconds(commit_time))
    # One join and one update: replay spends a fifth of its time here (benchmarks/replay.py).
    parts = [previous, head, _hidden_often(salt, tenant), *_body_parts(salt, body)]
    try:
        framed = [piece for part in parts for piece in (_LENGTHS[len(part)], part)]
    except IndexError:  # a part that is not short
        framed = [piece for part in parts for piece in (_length(part), part)]
    return blake2b(b"".join(framed), digest_size=DIGEST_BYTES, person=b"grantlog-chain-1").digest()


_SHORT: Final = 256
_LENGTHS: Final = tuple(length.to_bytes(4, "big") for length in range(_SHORT))


def _length(part: bytes) -> bytes:
    return len(part).to_bytes(4, "big")


def _hidden(salt: bytes, text: str) -> bytes:
    return blake2b(text.encode(), digest_size=DIGEST_BYTES, key=salt).digest()


_hidden_often: Final = lru_cache(maxsize=4_096)(_hidden)
"""For tenants, which are few."""


def _body_parts(salt: bytes, body: Body) -> Sequence[bytes]:
    match body:
        case DataWritten(changes, version):
            parts = [b"data", version.encode()]
            for change in changes:
                parts += _change_parts(salt, change)
            return parts
        case SchemaWritten(version, text):
            return (b"schema", version.encode(), text.encode())
        case TenantCreated(name):
            return (b"tenant-created", _hidden(salt, name))
        case TenantDeleted():
            return (b"tenant-deleted",)
        case BundleWritten(name, definition):
            return (b"bundle-written", name.encode(), definition.encode())
        case BundleDeleted(name):
            return (b"bundle-deleted", name.encode())
        case _:
            assert_never(body)


def _change_parts(salt: bytes, change: Change) -> Sequence[bytes]:
    """The parts of one change that enter a digest, ids hidden."""
    match change:
        case TupleChange(operation, fact):
            (type_, id_), relation, (subject_type, subject_id, userset) = fact
            return (
                b"+t" if operation is Operation.CREATE else b"-t",
                type_.encode(),
                _hidden(salt, id_),
                relation.encode(),
                subject_type.encode(),
                _hidden(salt, subject_id),
                userset.encode(),
            )
        case AttributeChange(operation, attribute):
            return (
                b"+a" if operation is Operation.CREATE else b"-a",
                attribute.entity.type.encode(),
                _hidden(salt, attribute.entity.id),
                attribute.name.encode(),
                *_value_parts(attribute.value),
            )
        case _:
            assert_never(change)


def _value_parts(value: AttributeValue) -> Sequence[bytes]:
    """A value as parts: its type, its number of items, each item."""
    items = value.data if isinstance(value.data, tuple) else (value.data,)
    return (struct.pack(">BI", value.type, len(items)), *map(_scalar_bytes, items))


def _scalar_bytes(item: Scalar) -> bytes:
    match item:
        case bool():
            return b"\x01" if item else b"\x00"
        case int():
            return struct.pack(">q", item)
        case float():
            return struct.pack(">d", item)
        case str():
            return item.encode()
        case _:
            assert_never(item)
