"""Apply net row changes to the tables of facts: the primary's writer and a replica's projection.

Many rows a statement, never one. Rows that should be live and are not, or are and should not be,
stop everything: the log and the tables no longer say the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeVar

import asyncpg

from grantlog.errors import CorruptionError
from grantlog.model.attributes import Attribute
from grantlog.model.change import SchemaWritten
from grantlog.model.ids import Revision
from grantlog.model.tuples import RelationTuple
from grantlog.projection.fold import AttributeName, RowChanges
from grantlog.store.postgres.pool import Connection
from grantlog.store.postgres.statements import load
from grantlog.store.postgres.values import encode_value

_SQL: Final = load("rows")
_EXPIRE_TUPLES: Final = _SQL["expire_tuples"]
_CREATE_TUPLES: Final = _SQL["create_tuples"]
_EXPIRE_ATTRIBUTES: Final = _SQL["expire_attributes"]
_CREATE_ATTRIBUTES: Final = _SQL["create_attributes"]
_CREATE_SCHEMAS: Final = _SQL["create_schemas"]

COPY_ROWS_MIN: Final = 2_000
"""From so many rows on, COPY is faster than arrays."""

EXPIRED_ROWS_MAX: Final = 2_000
"""Rows that one statement expires."""

T = TypeVar("T")

TUPLE_COLUMNS: Final = (
    "tenant_key",
    "entity_type",
    "entity_id",
    "relation",
    "subject_relation",
    "subject_type",
    "subject_id",
    "created_rev",
)
ATTRIBUTE_COLUMNS: Final = (
    "tenant_key",
    "entity_type",
    "entity_id",
    "attribute",
    "value_type",
    "value",
    "created_rev",
)


async def apply_rows(connection: Connection, tenant_key: int, rows: RowChanges) -> None:
    """Make the tables say what the log says; the caller's transaction holds the head's lock.

    Facts and schema versions are applied. Heads and the list of tenants are the caller's.

    Raises:
        CorruptionError: a row that should expire is not live, or one that comes to live is.
    """
    await _expire(connection, tenant_key, rows)
    try:
        await _create(connection, tenant_key, rows)
    except asyncpg.UniqueViolationError as error:
        raise CorruptionError("a fact that the log creates holds in the tables already") from error
    await _pass(connection, tenant_key, rows)


async def _expire(connection: Connection, tenant_key: int, rows: RowChanges) -> None:
    for some in _runs(rows.tuples_expired):
        columns = _columns(_tuple_row(fact, revision) for fact, revision in some)
        status = await connection.execute(_EXPIRE_TUPLES, tenant_key, *columns)
        _expect(status, len(some))
    for some in _runs(rows.attributes_expired):
        columns = _columns(_name_row(name, revision) for name, revision in some)
        status = await connection.execute(_EXPIRE_ATTRIBUTES, tenant_key, *columns)
        _expect(status, len(some))


def _runs(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Stretches short enough that making arrays of one does not hold the event loop up."""
    return (items[i : i + EXPIRED_ROWS_MAX] for i in range(0, len(items), EXPIRED_ROWS_MAX))


def _expect(status: str, count: int) -> None:
    """Compare a command's tag, as `INSERT 0 5`, with the number of rows it must have moved."""
    moved = int(status.rpartition(" ")[2])
    if moved != count:
        raise CorruptionError(
            f"of {count} facts that the log ends, {moved} hold in the tables: they disagree"
        )


async def _create(connection: Connection, tenant_key: int, rows: RowChanges) -> None:
    if rows.tuples_created:
        tuples = [_tuple_row(fact, revision) for fact, revision in rows.tuples_created]
        if len(tuples) < COPY_ROWS_MIN:
            await connection.execute(_CREATE_TUPLES, tenant_key, *_columns(tuples))
        else:
            await _copy(connection, "relation_tuples", TUPLE_COLUMNS, tenant_key, tuples)
    if rows.attributes_created:
        attributes = [_attribute_row(fact, rev) for fact, rev in rows.attributes_created]
        if len(attributes) < COPY_ROWS_MIN:
            await connection.execute(_CREATE_ATTRIBUTES, tenant_key, *_columns(attributes))
        else:
            await _copy(connection, "attributes", ATTRIBUTE_COLUMNS, tenant_key, attributes)
    if rows.schemas:
        await _create_schemas(connection, tenant_key, rows)


async def _create_schemas(connection: Connection, tenant_key: int, rows: RowChanges) -> None:
    columns = _columns(
        (body.version, transaction.revision, transaction.commit_time, body.text)
        for transaction in rows.schemas
        if isinstance(body := transaction.body, SchemaWritten)
    )
    await connection.execute(_CREATE_SCHEMAS, tenant_key, *columns)


async def _pass(connection: Connection, tenant_key: int, rows: RowChanges) -> None:
    """Rows that came and went within the run: few, and without a key that could conflict."""
    if rows.tuples_passed:
        await _copy(
            connection,
            "relation_tuples_history",
            (*TUPLE_COLUMNS, "expired_rev"),
            tenant_key,
            [(*_tuple_row(fact, created), gone) for fact, created, gone in rows.tuples_passed],
        )
    if rows.attributes_passed:
        await _copy(
            connection,
            "attributes_history",
            (*ATTRIBUTE_COLUMNS, "expired_rev"),
            tenant_key,
            [(*_attribute_row(f, created), gone) for f, created, gone in rows.attributes_passed],
        )


async def _copy(
    connection: Connection,
    table: str,
    columns: Sequence[str],
    tenant_key: int,
    rows: Iterable[tuple[object, ...]],
) -> None:
    records = ((tenant_key, *row) for row in rows)
    await connection.copy_records_to_table(table, records=records, columns=columns)


def _columns(rows: Iterable[tuple[object, ...]]) -> tuple[list[object], ...]:
    """Rows turned into columns for `unnest`; there is at least one row."""
    return tuple(map(list, zip(*rows, strict=True)))


def _tuple_row(fact: RelationTuple, revision: Revision) -> tuple[object, ...]:
    entity, relation, subject = fact
    return (
        entity.type,
        entity.id,
        relation,
        subject.relation,
        subject.type,
        subject.id,
        revision,
    )


def _name_row(name: AttributeName, revision: Revision) -> tuple[object, ...]:
    entity, attribute = name
    return (entity.type, entity.id, attribute, revision)


def _attribute_row(fact: Attribute, revision: Revision) -> tuple[object, ...]:
    value = fact.value
    return (
        fact.entity.type,
        fact.entity.id,
        fact.name,
        int(value.type),
        encode_value(value),
        revision,
    )
