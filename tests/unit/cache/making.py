"""Transactions, clocks and keys, in few words."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from zlib import crc32

from grantlog.cache.clock import Clock
from grantlog.model.attributes import parse_attribute
from grantlog.model.change import (
    AttributeChange,
    Body,
    DataWritten,
    Operation,
    Transaction,
    TupleChange,
)
from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.model.tuples import parse_tuple
from grantlog.ports.heads import Head

ACME = TenantId("acme")
_numbers = count(1)


def stable_hash(key: tuple[str, ...]) -> int:
    """In the place of `hash`, whose numbers differ from run to run."""
    return crc32(repr(key).encode())


def head(revision: int, *, epoch: int = 1, begins: int = 0) -> Head:
    return Head(Epoch(epoch), Revision(revision), SchemaVersion(""), Revision(begins))


def clock(revision: int, *, slots: int = 256) -> Clock:
    return Clock(next(_numbers), head(revision), slots=slots)


def written(*texts: str) -> DataWritten:
    return DataWritten(
        tuple(
            AttributeChange(Operation.CREATE, parse_attribute(text))
            if "$" in text
            else TupleChange(Operation.CREATE, parse_tuple(text))
            for text in texts
        ),
        SchemaVersion(""),
    )


def transaction(
    revision: int, body: Body, *, epoch: int = 1, after: str = "", tenant: TenantId = ACME
) -> Transaction:
    """The digest of a transaction is its revision, and what it stands on is the one before."""
    return Transaction(
        tenant=tenant,
        epoch=Epoch(epoch),
        revision=Revision(revision),
        commit_time=datetime(2030, 1, 1, tzinfo=UTC),
        body=body,
        salt=b"",
        previous_digest=(after or str(revision - 1)).encode(),
        digest=str(revision).encode(),
    )
