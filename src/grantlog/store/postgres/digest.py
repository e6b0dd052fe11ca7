"""The digest of a tenant's state, of a primary's tables or a replica's, from one snapshot."""

from __future__ import annotations

from typing import Final

from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.ports.log import NOWHERE, Position
from grantlog.projection.digest import StateDigest
from grantlog.store.postgres.guard import Guard
from grantlog.store.postgres.pool import Connection, Pool, acquired
from grantlog.store.postgres.statements import load
from grantlog.store.postgres.values import decode_value

_SQL: Final = load("project")
_DOING: Final = "digesting a tenant"
PREFETCH_ROWS: Final = 2_000
"""Rows taken at a time: a few milliseconds of hashing before the event loop runs again."""

TIMEOUT_S: Final = 3_600.0
"""A digest reads every row of a tenant; one statement's usual time would end it."""


async def tenant_digest(
    pool: Pool, tenant: TenantId, at: Revision | None = None
) -> tuple[Position, bytes]:
    """The tenant's position, and a digest of its state there or at an earlier revision.

    Raises:
        ProjectionLaggingError: `at` is not in this database yet.
        BehindWindowError: history at `at` has been collected, or the tenant was deleted since.
        UnavailableError: the database does not answer.
    """
    async with (
        acquired(pool, doing=_DOING) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        head = await connection.fetchrow(_SQL["digest_head"], tenant)
        position, guard, key = NOWHERE, Guard(Revision(0), Revision(0), Revision(0), Epoch(0)), -1
        if head is not None:
            key, epoch, revision, digest, floor, begins = head
            position = Position(epoch, revision, digest)
            guard = Guard(revision, floor, begins, epoch)
        revision = position.revision if at is None else at
        refusal = guard.refusal(revision)
        if refusal is not None:
            raise refusal
        return position, await _digest(connection, key, revision)


async def _digest(connection: Connection, tenant_key: int, at: Revision) -> bytes:
    state = StateDigest()
    schemas = connection.cursor(_SQL["digest_schemas"], tenant_key, at, timeout=TIMEOUT_S)
    async for version, created, text in schemas:
        state.add_schema(SchemaVersion(version), created, text)
    tuples = connection.cursor(
        _SQL["digest_tuples"], tenant_key, at, prefetch=PREFETCH_ROWS, timeout=TIMEOUT_S
    )
    async for row in tuples:
        *key, created = row.values()
        state.add_tuple(tuple(key), created)
    attributes = connection.cursor(
        _SQL["digest_attributes"], tenant_key, at, prefetch=PREFETCH_ROWS, timeout=TIMEOUT_S
    )
    async for entity_type, entity_id, name, kind, text, created in attributes:
        state.add_attribute((entity_type, entity_id, name), decode_value(kind, text), created)
    return state.finish()
