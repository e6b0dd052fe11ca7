"""Apply net row changes to the tables of facts: the primary's writer and a replica's projection.

Many rows a statement, never one. Rows that should be live and are not, or are and should not be,
stop everything: the log and the tables no longer say the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias, TypeVar

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

LifeChanges: TypeAlias = tuple[int, RowChanges]
"""The key of a tenant's life, and the net changes of its rows."""

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


async def apply_rows(connection: Connection, changes: Sequence[LifeChanges]) -> None:
    """Make the tables say what the log says; the caller's transaction holds the heads' locks.

    Facts and schema versions of one or several tenants are applied, each life's once. Heads and the
    list of tenants are the caller's.

    Raises:
        CorruptionError: a row that should expire is not live, or one that comes to live is.
    """
    await _expire(connection, changes)
    try:
        await _create(connection, changes)
    except asyncpg.UniqueViolationError as error:
        raise CorruptionError("a fact that the log creates holds in the tables already") from error
    await _pass(connection, changes)


def created_tuples(tenant_key: int, rows: RowChanges) -> tuple[list[object], ...]:
    """The columns of the tuples that come to live, of which there is at least one."""
    return _columns(_tuple_row(tenant_key, *each) for each in rows.tuples_created)


async def _expire(connection: Connection, changes: Sequence[LifeChanges]) -> None:
    tuples = [_tuple_row(key, *each) for key, rows in changes for each in rows.tuples_expired]
    for some in _runs(tuples):
        _expect(await connection.execute(_EXPIRE_TUPLES, *_columns(some)), len(some))
    names = [_name_row(key, *each) for key, rows in changes for each in rows.attributes_expired]
    for some in _runs(names):
        _expect(await connection.execute(_EXPIRE_ATTRIBUTES, *_columns(some)), len(some))


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


async def _create(connection: Connection, changes: Sequence[LifeChanges]) -> None:
    tuples = [_tuple_row(key, *each) for key, rows in changes for each in rows.tuples_created]
    if len(tuples) >= COPY_ROWS_MIN:
        await _copy(connection, "relation_tuples", TUPLE_COLUMNS, tuples)
    elif tuples:
        await connection.execute(_CREATE_TUPLES, *_columns(tuples))
    attributes = [
        _attribute_row(key, *each) for key, rows in changes for each in rows.attributes_created
    ]
    if len(attributes) >= COPY_ROWS_MIN:
        await _copy(connection, "attributes", ATTRIBUTE_COLUMNS, attributes)
    elif attributes:
        await connection.execute(_CREATE_ATTRIBUTES, *_columns(attributes))
    schemas = [
        (key, body.version, transaction.revision, transaction.commit_time, body.text)
        for key, rows in changes
        for transaction in rows.schemas
        if isinstance(body := transaction.body, SchemaWritten)
    ]
    if schemas:
        await connection.execute(_CREATE_SCHEMAS, *_columns(schemas))


async def _pass(connection: Connection, changes: Sequence[LifeChanges]) -> None:
    """Rows that came and went within the run: few, and without a key that could conflict."""
    tuples = [
        (*_tuple_row(key, fact, created), gone)
        for key, rows in changes
        for fact, created, gone in rows.tuples_passed
    ]
    if tuples:
        columns = (*TUPLE_COLUMNS, "expired_rev")
        await _copy(connection, "relation_tuples_history", columns, tuples)
    attributes = [
        (*_attribute_row(key, fact, created), gone)
        for key, rows in changes
        for fact, created, gone in rows.attributes_passed
    ]
    if attributes:
        columns = (*ATTRIBUTE_COLUMNS, "expired_rev")
        await _copy(connection, "attributes_history", columns, attributes)


async def _copy(
    connection: Connection,
    table: str,
    columns: Sequence[str],
    rows: Iterable[tuple[object, ...]],
) -> None:
    await connection.copy_records_to_table(table, records=rows, columns=columns)


def _columns(rows: Iterable[tuple[object, ...]]) -> tuple[list[object], ...]:
    """Rows turned into columns for `unnest`; there is at least one row."""
    return tuple(map(list, zip(*rows, strict=True)))


def _tuple_row(key: int, fact: RelationTuple, revision: Revision) -> tuple[object, ...]:
    entity, relation, subject = fact
    return (
        key,
        entity.type,
        entity.id,
        relation,
        subject.relation,
        subject.type,
        subject.id,
        revision,
    )


def _name_row(key: int, name: AttributeName, revision: Revision) -> tuple[object, ...]:
    entity, attribute = name
    return (key, entity.type, entity.id, attribute, revision)


def _attribute_row(key: int, fact: Attribute, revision: Revision) -> tuple[object, ...]:
    value = fact.value
    return (
        key,
        fact.entity.type,
        fact.entity.id,
        fact.name,
        int(value.type),
        encode_value(value),
        revision,
    )
