"""PastReader on Postgres: where a tenant stood at a revision or at a time, by the primary."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from grantlog.errors import BehindWindowError, BeyondHeadError
from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.ports.heads import Head, require_past
from grantlog.store.postgres.first_write import FIRST_WRITE_LOCK
from grantlog.store.postgres.pool import Connection, Pool, acquired
from grantlog.store.postgres.statements import load

_SQL: Final = load("past")
_CLOCK: Final = _SQL["clock"]
_LOCK_HEAD: Final = _SQL["lock_head"]
_LOCK_FIRST_WRITE: Final = _SQL["lock_first_write"]
_STANDING: Final = _SQL["standing"]
_REVISION_AT: Final = _SQL["revision_at"]

_DOING: Final = "reading where a tenant stood"

YOUNG: Final = timedelta(seconds=10)
"""A time younger than this may lie behind the commit time of a transaction still under way."""


class PostgresPast:
    """Reads past heads over connections of `open_primary_pool`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def at_revision(self, tenant: TenantId, revision: Revision) -> Head:
        """The head as it was at a revision; errors as the port."""
        async with acquired(self._pool, doing=_DOING) as connection:
            return await _standing(connection, tenant, revision)

    async def at_time(self, tenant: TenantId, time: datetime) -> Head:
        """The head as it was at a time; errors as the port."""
        async with acquired(self._pool, doing=_DOING) as connection:
            now: datetime = await connection.fetchval(_CLOCK)
            require_past(time, now=now)
            if now - time < YOUNG:
                async with connection.transaction():
                    if not await connection.fetchval(_LOCK_HEAD, tenant):
                        await connection.execute(_LOCK_FIRST_WRITE, FIRST_WRITE_LOCK, tenant)
                        await connection.execute(_LOCK_HEAD, tenant)
                    revision = await connection.fetchval(_REVISION_AT, tenant, time)
            else:
                revision = await connection.fetchval(_REVISION_AT, tenant, time)
            return await _standing(connection, tenant, Revision(revision or 0))


async def _standing(connection: Connection, tenant: TenantId, revision: Revision) -> Head:
    row = await connection.fetchrow(_STANDING, tenant, revision)
    newest = row["revision"] if row is not None else 0
    if revision > newest:
        raise BeyondHeadError(f"revision {revision} is beyond the tenant's head, {newest}")
    if row is None:
        return Head(Epoch(0), Revision(0), SchemaVersion(""))
    if revision < max(row["begins_rev"], row["floor_rev"]):
        raise BehindWindowError(
            f"what held at revision {revision} is no longer kept: the tenant was deleted or its "
            "history collected since"
        )
    return Head(
        Epoch(row["epoch"]),
        revision,
        SchemaVersion(row["schema_version"]),
        Revision(row["begins_rev"]),
    )
