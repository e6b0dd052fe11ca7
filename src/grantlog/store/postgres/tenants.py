"""TenantLister on Postgres, and the secrets that live in the primary."""

from __future__ import annotations

from typing import Final

from grantlog.errors import PreconditionError
from grantlog.model.ids import TenantId
from grantlog.ports.writer import TenantRecord
from grantlog.store.postgres.pool import Pool, acquired
from grantlog.store.postgres.seed import MAC_KEY
from grantlog.store.postgres.statements import load

_SQL: Final = load("heads")
_TENANTS: Final = _SQL["tenants"]
_META: Final = _SQL["meta"]


class PostgresTenants:
    """Reads the list of tenants from the primary, over connections of `open_primary_pool`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def tenants(self, *, limit: int, after: TenantId | None = None) -> list[TenantRecord]:
        """Tenants by id bytes; `after` is the last one of the page before."""
        async with acquired(self._pool, doing="listing tenants") as connection:
            rows = await connection.fetch(_TENANTS, after or "", limit)
        return [
            TenantRecord(TenantId(row["tenant_id"]), row["name"], row["created_at"]) for row in rows
        ]


async def read_mac_key(pool: Pool) -> bytes:
    """The key of continuation tokens.

    Raises:
        PreconditionError: the primary has none: it was not seeded.
    """
    async with acquired(pool, doing="reading the key of continuation tokens") as connection:
        value: str | None = await connection.fetchval(_META, MAC_KEY)
    if value is None:
        raise PreconditionError("the database was not seeded: run `grantlog migrate`")
    return bytes.fromhex(value)
