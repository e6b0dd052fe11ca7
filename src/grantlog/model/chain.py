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
from typing import Final, TypeAlias, assert_never

from grantlog.model.attributes import AttributeValue, Scalar
from grantlog.model.change import (
    AttributeChange,
    Body,
    BundleDeleted,
    BundleWritten,
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

_OtherBody: TypeAlias = (
    SchemaWritten | TenantCreated | TenantDeleted | BundleWritten | BundleDeleted
)

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
    framed = [_framed(part) for part in (previous, head, _hidden_often(salt, tenant))]
    if isinstance(body, DataWritten):
        framed += _framed_changes(salt, body)
    else:
        framed += map(_framed, _body_parts(salt, body))
    return blake2b(b"".join(framed), digest_size=DIGEST_BYTES, person=b"grantlog-chain-1").digest()


def _framed(part: bytes) -> bytes:
    return len(part).to_bytes(4, "big") + part


def _hidden(salt: bytes, text: str) -> bytes:
    return blake2b(text.encode(), digest_size=DIGEST_BYTES, key=salt).digest()


_hidden_often: Final = lru_cache(maxsize=4_096)(_hidden)
"""For tenants, which are few."""


class _FramedNames(dict[str, bytes]):
    """Names as parts, each made once."""

    def __missing__(self, text: str) -> bytes:
        part = self[text] = _framed(text.encode())
        return part


class _FramedIds(dict[str, bytes]):
    """Ids as parts, hidden, each made once; a copied state costs half of a new one with its key."""

    def __init__(self, salt: bytes) -> None:
        super().__init__()
        self._keyed = blake2b(digest_size=DIGEST_BYTES, key=salt)

    def __missing__(self, text: str) -> bytes:
        state = self._keyed.copy()
        state.update(text.encode())
        part = self[text] = _framed(state.digest())
        return part


_FRAMED_CREATE: Final = _framed(b"+t")
_FRAMED_DELETE: Final = _framed(b"-t")


def _framed_changes(salt: bytes, body: DataWritten) -> list[bytes]:
    """The parts of a data write; tuples, which are most, without a list of parts of their own."""
    names, ids = _FramedNames(), _FramedIds(salt)
    framed = [_framed(b"data"), _framed(body.schema_version.encode())]
    for change in body.changes:
        if isinstance(change, TupleChange):
            (type_, id_), relation, (subject_type, subject_id, userset) = change.tuple
            framed += (
                _FRAMED_CREATE if change.operation is Operation.CREATE else _FRAMED_DELETE,
                names[type_],
                ids[id_],
                names[relation],
                names[subject_type],
                ids[subject_id],
                names[userset],
            )
        else:
            framed += map(_framed, _attribute_parts(salt, change))
    return framed


def _body_parts(salt: bytes, body: _OtherBody) -> Sequence[bytes]:
    """The parts of a body but a data write's."""
    match body:
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


def _attribute_parts(salt: bytes, change: AttributeChange) -> Sequence[bytes]:
    """The parts of one change that enter a digest, ids hidden."""
    attribute = change.attribute
    return (
        b"+a" if change.operation is Operation.CREATE else b"-a",
        attribute.entity.type.encode(),
        _hidden(salt, attribute.entity.id),
        attribute.name.encode(),
        *_value_parts(attribute.value),
    )


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
