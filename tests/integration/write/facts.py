"""Short spellings for tests of the writer."""

from __future__ import annotations

import os
from collections.abc import Iterable

from grantlog.model.attributes import parse_attribute
from grantlog.model.change import Transaction
from grantlog.model.ids import Revision, SchemaVersion, TenantId
from grantlog.model.tuples import parse_entity, parse_tuple
from grantlog.ports.facts import AttributeFilter, TupleFilter
from grantlog.ports.writer import DataIntent, PutFacts, RemoveFacts, RemoveWhere, Step
from grantlog.store.postgres.pool import Pool
from grantlog.wire.event import decode_transaction

ACME = TenantId("acme")
NO_SCHEMA = SchemaVersion("")


def new_id() -> bytes:
    return os.urandom(16)


def put(*texts: str) -> PutFacts:
    return PutFacts(
        tuple(parse_tuple(text) for text in texts if "$" not in text),
        tuple(parse_attribute(text) for text in texts if "$" in text),
    )


def remove(*texts: str) -> RemoveFacts:
    names = [text.partition("$") for text in texts if "$" in text]
    return RemoveFacts(
        tuple(parse_tuple(text) for text in texts if "$" not in text),
        tuple((parse_entity(entity), name) for entity, _, name in names),
    )


def where(**conditions: object) -> RemoveWhere:
    return RemoveWhere(tuples=TupleFilter(**conditions))


def where_attributes(**conditions: object) -> RemoveWhere:
    return RemoveWhere(attributes=AttributeFilter(**conditions))


def write(*steps: Step, tenant: str = ACME, **more: object) -> DataIntent:
    return DataIntent(
        TenantId(tenant), steps, **({"schema_version": NO_SCHEMA, "write_id": new_id()} | more)
    )


async def log_of(pool: Pool, tenant: str = ACME) -> list[Transaction]:
    """The whole log of a tenant, proven dense."""
    rows = await pool.fetch(
        "SELECT revision, payload FROM transactions WHERE tenant_id = $1 ORDER BY revision, part",
        tenant,
    )
    parts: dict[int, list[bytes]] = {}
    for row in rows:
        parts.setdefault(row["revision"], []).append(row["payload"])
    assert list(parts) == list(range(1, len(parts) + 1))
    return [decode_transaction(part) for part in parts.values()]


async def live(pool: Pool, tenant: str = ACME) -> set[str]:
    """The facts that hold, in text form."""
    tuples = await pool.fetch(
        "SELECT entity_type || ':' || entity_id || '#' || relation || '@' || subject_type || ':'"
        " || subject_id || CASE subject_relation WHEN '' THEN '' ELSE '#' || subject_relation END"
        " AS fact FROM relation_tuples JOIN heads USING (tenant_key) WHERE tenant_id = $1",
        tenant,
    )
    attributes = await pool.fetch(
        "SELECT entity_type || ':' || entity_id || '$' || attribute || '=' || value AS fact"
        " FROM attributes JOIN heads USING (tenant_key) WHERE tenant_id = $1",
        tenant,
    )
    return {row["fact"] for row in (*tuples, *attributes)}


async def past(pool: Pool, tenant: str = ACME) -> list[tuple[str, int, int]]:
    """Tuples that held: entity id, created, expired."""
    rows = await pool.fetch(
        "SELECT entity_id, created_rev, expired_rev FROM relation_tuples_history"
        " JOIN heads USING (tenant_key) WHERE tenant_id = $1 ORDER BY 3, 2, 1",
        tenant,
    )
    return [tuple(row) for row in rows]


def revisions(transactions: Iterable[Transaction]) -> list[Revision]:
    return [transaction.revision for transaction in transactions]
