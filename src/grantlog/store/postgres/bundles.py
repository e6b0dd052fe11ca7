"""BundleReader on Postgres."""

from __future__ import annotations

from typing import Final

from grantlog.model.ids import TenantId
from grantlog.store.postgres.pool import Pool, acquired
from grantlog.store.postgres.statements import load

_BUNDLE: Final = load("bundles")["bundle"]


class PostgresBundles:
    """Reads bundles from the primary, over connections of `open_primary_pool`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def bundle(self, tenant: TenantId, name: str) -> str | None:
        """The definition of the tenant's current life, as the port says."""
        async with acquired(self._pool, doing="reading a bundle") as connection:
            definition: str | None = await connection.fetchval(_BUNDLE, tenant, name)
        return definition
