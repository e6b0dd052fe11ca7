"""SchemaReader on Postgres: versions of a tenant's current life."""

from __future__ import annotations

from typing import Final

import asyncpg

from grantlog.model.ids import Revision, SchemaVersion, TenantId
from grantlog.ports.heads import SchemaRecord
from grantlog.store.postgres.pool import Pool, acquired
from grantlog.store.postgres.statements import load

_SQL: Final = load("heads")
_SCHEMA: Final = _SQL["schema"]
_SCHEMAS: Final = _SQL["schemas"]

_DOING: Final = "reading schemas"


class PostgresSchemas:
    """Reads stored schema versions from the primary, over connections of `open_primary_pool`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def schema(self, tenant: TenantId, version: SchemaVersion) -> SchemaRecord | None:
        """The version, None if the tenant's current life has none of that name."""
        async with acquired(self._pool, doing=_DOING) as connection:
            row = await connection.fetchrow(_SCHEMA, tenant, version)
        return None if row is None else _record(row)

    async def schemas(
        self, tenant: TenantId, *, limit: int, before: SchemaVersion | None = None
    ) -> list[SchemaRecord]:
        """Versions of the tenant, newest first; `before` is the last one seen."""
        async with acquired(self._pool, doing=_DOING) as connection:
            rows = await connection.fetch(_SCHEMAS, tenant, before, limit)
        return [_record(row) for row in rows]


def _record(row: asyncpg.Record) -> SchemaRecord:
    return SchemaRecord(
        version=SchemaVersion(row["version"]),
        revision=Revision(row["created_rev"]),
        created_at=row["created_at"],
        text=row["source"],
    )
