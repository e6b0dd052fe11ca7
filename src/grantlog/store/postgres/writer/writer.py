"""TransactionWriter on Postgres."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager

from grantlog.background import background_tasks
from grantlog.model.ids import SchemaVersion, TenantId
from grantlog.ports.writer import Committed, DataIntent, TenantRecord
from grantlog.store.postgres.pool import Pool
from grantlog.store.postgres.writer.acknowledged import Acknowledged
from grantlog.store.postgres.writer.committing import Committer, TellCommitted, tell_nobody
from grantlog.store.postgres.writer.intents import (
    BundleIntent,
    CreateIntent,
    DeleteIntent,
    SchemaIntent,
    UnbundleIntent,
)
from grantlog.store.postgres.writer.lanes import Lanes
from grantlog.store.postgres.writer.limits import WriterLimits
from grantlog.store.postgres.writer.preparing import NewBytes


class PostgresWriter:
    """Commits transactions in the primary, writes of a tenant in groups; see the port."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    async def write(self, intent: DataIntent) -> Committed:
        """Commit a data write, as the port says."""
        return await self._lanes.submit(intent)

    async def write_schema(
        self, tenant: TenantId, text: str, *, based_on: SchemaVersion | None, write_id: bytes
    ) -> Committed:
        """Commit a new schema version, as the port says."""
        return await self._lanes.submit(SchemaIntent(tenant, text, based_on, write_id))

    async def write_bundles(
        self, tenant: TenantId, definitions: Mapping[str, str], *, write_id: bytes
    ) -> Committed:
        """Store bundles under their names, as the port says."""
        return await self._lanes.submit(BundleIntent(tenant, definitions, write_id))

    async def delete_bundle(self, tenant: TenantId, name: str, *, write_id: bytes) -> Committed:
        """Remove a bundle, as the port says."""
        return await self._lanes.submit(UnbundleIntent(tenant, name, write_id))

    async def create_tenant(self, tenant: TenantId, name: str, *, write_id: bytes) -> TenantRecord:
        """Put a tenant on the list, as the port says."""
        committed = await self._lanes.submit(CreateIntent(tenant, name, write_id))
        assert committed.commit_time is not None
        return TenantRecord(tenant, name, committed.commit_time)

    async def delete_tenant(self, tenant: TenantId, *, write_id: bytes) -> Committed:
        """End a tenant's life, as the port says."""
        return await self._lanes.submit(DeleteIntent(tenant, write_id))


def _nobody(tenant: TenantId) -> None:
    """Tell nobody that a tenant changed: whoever follows the log polls."""


@asynccontextmanager
async def open_writer(
    pool: Pool,
    *,
    changed: Callable[[TenantId], None] = _nobody,
    limits: WriterLimits | None = None,
    new_bytes: NewBytes = secrets.token_bytes,
    acknowledged: Acknowledged | None = None,
    committed: TellCommitted = tell_nobody,
) -> AsyncGenerator[PostgresWriter]:
    """A writer for the block; when it ends, writes that wait are still committed.

    Args:
        pool: connections to the primary, from `open_primary_pool`.
        changed: told each tenant after it changed, `Signal.changed` for instance; must not block.
        limits: bounds, the defaults if None.
        new_bytes: random bytes, for the salts of new tenants.
        acknowledged: what this process acknowledged; its own if None.
        committed: told what was committed, in order, before whoever wrote it is.
    """
    limits = limits or WriterLimits()
    async with background_tasks() as group:
        committer = Committer(pool, limits, new_bytes, acknowledged, committed)
        lanes = Lanes(group, committer, limits, changed)
        try:
            yield PostgresWriter(lanes)
        finally:
            lanes.close()
