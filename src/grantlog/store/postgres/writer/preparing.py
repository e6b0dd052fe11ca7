"""Everything of a group's database transaction between BEGIN and COMMIT."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, cast

import asyncpg

from grantlog.errors import CorruptionError
from grantlog.model.chain import GENESIS, SALT_BYTES
from grantlog.model.change import DataWritten, TenantCreated, TenantDeleted, Transaction
from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.ports.writer import DataIntent
from grantlog.projection.fold import RowChanges, fold
from grantlog.store.postgres.first_write import FIRST_WRITE_LOCK
from grantlog.store.postgres.off_loop import off_loop
from grantlog.store.postgres.pool import Connection
from grantlog.store.postgres.rows import apply_rows, created_tuples
from grantlog.store.postgres.statements import load
from grantlog.store.postgres.writer.bundles import (
    apply_bundles,
    plan_bundles,
    plan_unbundle,
    read_bundles,
)
from grantlog.store.postgres.writer.intents import (
    BundleIntent,
    CreateIntent,
    DeleteIntent,
    Intent,
    Outcome,
    SchemaIntent,
    UnbundleIntent,
    facts_named,
)
from grantlog.store.postgres.writer.limits import WriterLimits
from grantlog.store.postgres.writer.novelty import HeldError
from grantlog.store.postgres.writer.overlay import StoredFacts
from grantlog.store.postgres.writer.plan import plan_create, plan_data, plan_delete, plan_schema
from grantlog.store.postgres.writer.reading import read_stored
from grantlog.store.postgres.writer.tail import LockedHead, Tail
from grantlog.wire.event import encode_transaction

_SQL: Final = load("write")
_LOCK_HEAD: Final = _SQL["lock_head"]
_LOCK_FIRST_WRITE: Final = _SQL["lock_first_write"]
_INSERT_HEAD: Final = _SQL["insert_head"]
_IS_LISTED: Final = _SQL["is_listed"]
_APPEND: Final = _SQL["append"]
_PUT: Final = _SQL["put"]
_LIST_TENANT: Final = _SQL["list_tenant"]
_END_LIFE: Final = _SQL["end_life"]

_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)

NewBytes = Callable[[int], bytes]
"""So many random bytes."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A group that needs only its COMMIT."""

    head: LockedHead
    outcomes: list[Outcome]
    transactions: list[Transaction]
    """Empty if nothing changes; then there is nothing to commit either."""


async def prepare(
    connection: Connection,
    head: LockedHead,
    group: Sequence[Intent],
    limits: WriterLimits,
    *,
    as_new: bool = False,
) -> Prepared:
    """Plan the group on a locked head and apply it to the tables.

    Args:
        connection: in the transaction that holds the lock.
        head: what is locked.
        group: what to write.
        limits: the writer's bounds.
        as_new: the group puts tuples alone; they are taken for new without looking.

    Raises:
        HeldError: they are not all new; roll back.
        GrantlogError: the group cannot be applied; roll back. (What only one of several data
            writes gets wrong is its outcome, no error.)
    """
    tail = Tail(head)
    if as_new:
        writes = cast("Sequence[DataIntent]", group)
        size = sum(map(facts_named, writes))
        changes_max = limits.changes_per_write_max
        outcomes = await off_loop(
            size, plan_data, tail, StoredFacts(), writes, changes_max=changes_max
        )
        if tail.transactions:
            await _put(connection, head, tail)
        return Prepared(head, outcomes, tail.transactions)
    outcomes = await _plan(connection, tail, head, group, limits)
    if tail.transactions:
        await _store(connection, head, tail)
    return Prepared(head, outcomes, tail.transactions)


async def lock_head(connection: Connection, tenant: TenantId, new_bytes: NewBytes) -> LockedHead:
    """The tenant's head, locked to the end of the transaction; created if it is missing."""
    row = await connection.fetchrow(_LOCK_HEAD, tenant)
    if row is None:
        salt = new_bytes(SALT_BYTES)
        await connection.execute(_LOCK_FIRST_WRITE, FIRST_WRITE_LOCK, tenant)
        await connection.execute(_INSERT_HEAD, tenant, GENESIS, salt, _NEVER)
        row = await connection.fetchrow(_LOCK_HEAD, tenant)
    if row is None:
        raise CorruptionError("a head row that was created is not there")
    return _head(tenant, row)


def _head(tenant: TenantId, row: asyncpg.Record) -> LockedHead:
    return LockedHead(
        tenant=tenant,
        tenant_key=row["tenant_key"],
        epoch=Epoch(row["epoch"]),
        revision=Revision(row["revision"]),
        digest=row["digest"],
        salt=row["salt"],
        commit_time=row["commit_time"],
        begins_rev=Revision(row["begins_rev"]),
        schema_version=SchemaVersion(row["schema_version"]),
        now=row["now"],
    )


async def _plan(
    connection: Connection,
    tail: Tail,
    head: LockedHead,
    group: Sequence[Intent],
    limits: WriterLimits,
) -> list[Outcome]:
    match group[0]:
        case DataIntent():
            writes = cast("Sequence[DataIntent]", group)  # only data writes share a group
            stored = await read_stored(connection, head.tenant_key, writes, limits)
            size = sum(map(facts_named, writes)) + len(stored.matched)
            return await off_loop(
                size, plan_data, tail, stored, writes, changes_max=limits.changes_per_write_max
            )
        case SchemaIntent() as intent:
            return [plan_schema(tail, head, intent)]
        case CreateIntent() as intent:
            listed = await connection.fetchval(_IS_LISTED, head.tenant) is not None
            return [plan_create(tail, intent, listed=listed)]
        case DeleteIntent() as intent:
            listed = await connection.fetchval(_IS_LISTED, head.tenant) is not None
            return [plan_delete(tail, head, intent, listed=listed)]
        case BundleIntent() as intent:
            bundles = await read_bundles(connection, head.tenant_key, list(intent.definitions))
            return [plan_bundles(tail, bundles, intent)]
        case UnbundleIntent() as intent:
            bundles = await read_bundles(connection, head.tenant_key, [intent.name])
            return [plan_unbundle(tail, bundles, intent)]


async def _put(connection: Connection, head: LockedHead, tail: Tail) -> None:
    """Tuples that nobody looked up, log and head, in one statement.

    Raises:
        HeldError: some of them hold already.
    """
    rows, parts = await off_loop(_size(tail.transactions), _stored_form, tail.transactions)
    created = await connection.fetchval(
        _PUT, *_appended(head, tail, parts), *created_tuples(head.tenant_key, rows)
    )
    if created != len(rows.tuples_created):
        raise HeldError


async def _store(connection: Connection, head: LockedHead, tail: Tail) -> None:
    """Rows, log and head. A deletion's rows stay: they are the dead life's, purged later."""
    last = tail.transactions[-1]
    rows, parts = await off_loop(_size(tail.transactions), _stored_form, tail.transactions)
    if isinstance(last.body, TenantDeleted):
        await connection.execute(_END_LIFE, head.tenant, last.revision)
    else:
        await apply_rows(connection, [(head.tenant_key, rows)])
        await apply_bundles(connection, head.tenant_key, tail.transactions)
    if isinstance(last.body, TenantCreated):
        await connection.execute(_LIST_TENANT, head.tenant, last.body.name, last.commit_time)
    await connection.execute(_APPEND, *_appended(head, tail, parts))


def _appended(head: LockedHead, tail: Tail, parts: Sequence[list[object]]) -> tuple[object, ...]:
    """What `append` takes: the tenant, the columns of the log's new rows, and the head's row."""
    last = tail.transactions[-1]
    place = (last.revision, last.digest, last.commit_time, tail.schema_version)
    return (head.tenant, *parts, *place)


def _size(transactions: Sequence[Transaction]) -> int:
    bodies = (transaction.body for transaction in transactions)
    return sum(len(body.changes) for body in bodies if isinstance(body, DataWritten))


def _stored_form(transactions: Sequence[Transaction]) -> tuple[RowChanges, list[list[object]]]:
    """The net changes of rows, and the columns of the log's new rows."""
    parts = [
        (
            transaction.revision,
            part,
            len(payloads),
            transaction.epoch,
            transaction.commit_time,
            transaction.write_id,
            transaction.digest,
            payload,
        )
        for transaction in transactions
        for payloads in (encode_transaction(transaction),)
        for part, payload in enumerate(payloads)
    ]
    return fold(transactions), [list(column) for column in zip(*parts, strict=True)]
