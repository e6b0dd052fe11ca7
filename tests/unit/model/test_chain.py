"""The digest of a transaction is what logs out there were written with: it never changes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from grantlog.model.attributes import parse_attribute
from grantlog.model.chain import GENESIS, transaction_digest
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
from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.model.tuples import parse_tuple

V1 = SchemaVersion("v1")


def created(*texts: str) -> tuple[TupleChange | AttributeChange, ...]:
    return tuple(_change(Operation.CREATE, text) for text in texts)


def deleted(*texts: str) -> tuple[TupleChange | AttributeChange, ...]:
    return tuple(_change(Operation.DELETE, text) for text in texts)


def _change(operation: Operation, text: str) -> TupleChange | AttributeChange:
    if "$" in text:
        return AttributeChange(operation, parse_attribute(text))
    return TupleChange(operation, parse_tuple(text))


ATTRIBUTES = (
    "doc:1$a|boolean:true",
    "doc:1$b|integer:7",
    "doc:1$c|double:0.5",
    "doc:1$d|string:Grüße",
    "doc:1$e|string[]:x,y",
    "doc:1$f|integer[]:1,2",
)
LONG = "x" * 128
KNOWN: dict[str, tuple[Body, str]] = {
    "tuple": (DataWritten(created("doc:1#viewer@user:1"), V1), "60d07d37cafdcf5443efdc6ae229d223"),
    "userset": (
        DataWritten(created("doc:1#viewer@group:eng#member"), V1),
        "a425a75aacfcd4e03b5170f8ec50b2bf",
    ),
    "long": (
        DataWritten(created(f"{LONG}:{LONG}#{LONG}@{LONG}:{LONG}#{LONG}"), V1),
        "8b514bc4153bb010ec38a846b450903a",
    ),
    "deletes": (
        DataWritten(deleted("doc:1#viewer@user:1", "doc:2#viewer@user:1"), V1),
        "56ac11df6e0a72171987252746a62b05",
    ),
    "attributes": (
        DataWritten(deleted(*ATTRIBUTES) + created(*ATTRIBUTES), V1),
        "377c953a9b9914cfbd2ffbe7bd6b5613",
    ),
    "nothing": (DataWritten((), SchemaVersion("")), "18376c29a36d731e76c42f33c56f18ab"),
    "schema": (SchemaWritten(V1, "entity user {}\n" * 100), "7deb2d2e7d8cb2f94cb651016ce289ab"),
    "tenant": (TenantCreated("Acme"), "b3b04e3a1c1fa596e42f7254b16f6eb9"),
    "no tenant": (TenantDeleted(), "aca424431fb274f75de1869a72101ba3"),
    "bundle": (BundleWritten("b", "{}"), "57dcd14cea05fbb77ba1f8cf6a4f2114"),
    "no bundle": (BundleDeleted("b"), "32d293132990ff52f53ec03aadb6e692"),
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_digest_is_what_it_always_was(name: str) -> None:
    body, expected = KNOWN[name]
    digest = transaction_digest(
        GENESIS,
        tenant=TenantId("acme"),
        epoch=Epoch(3),
        revision=Revision(9),
        commit_time=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        body=body,
        salt=b"salt of sixteen.",
    )
    assert digest.hex() == expected
