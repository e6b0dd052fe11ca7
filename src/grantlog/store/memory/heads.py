"""Heads, schemas, bundles and the list of tenants in memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from datetime import datetime

from grantlog.errors import BeyondHeadError
from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.ports.heads import Head, SchemaRecord, require_past
from grantlog.ports.writer import TenantRecord
from grantlog.store.memory.tables import MemoryTables


class MemoryHeads:
    """HeadReader, SchemaReader, BundleReader and TenantLister over a store in memory."""

    def __init__(self, tables: MemoryTables) -> None:
        self._tables = tables

    async def head(self, tenant: TenantId) -> Head:
        """The head; revision 0 for a tenant that was never written."""
        state = self._tables.tenants.get(tenant)
        if state is None:
            return Head(self._tables.epoch, Revision(0), SchemaVersion(""))
        return Head(state.epoch, state.revision, state.schema_version, state.begins, state.digest)

    async def recorded_head(self, tenant: TenantId, epoch: Epoch) -> Revision:
        """The last revision that survived of `epoch`, 0 if the next one did not know the tenant."""
        return self._tables.recorded.get((tenant, epoch), Revision(0))

    async def schema(self, tenant: TenantId, version: SchemaVersion) -> SchemaRecord | None:
        """A stored version of the tenant's current life."""
        state = self._tables.tenants.get(tenant)
        return state.schemas.get(version) if state else None

    async def schemas(
        self, tenant: TenantId, *, limit: int, before: SchemaVersion | None = None
    ) -> list[SchemaRecord]:
        """Versions of the tenant's current life, newest first."""
        state = self._tables.tenants.get(tenant)
        records = state.schemas.values() if state else ()
        older = (record for record in records if before is None or record.version < before)
        return sorted(older, key=lambda record: record.version, reverse=True)[:limit]

    async def bundle(self, tenant: TenantId, name: str) -> str | None:
        """A stored bundle of the tenant's current life."""
        state = self._tables.tenants.get(tenant)
        return state.bundles.get(name) if state else None

    async def tenants(self, *, limit: int, after: TenantId | None = None) -> list[TenantRecord]:
        """Tenants on the list, by id bytes."""
        floor = b"" if after is None else after.encode()
        behind = (r for r in self._tables.listed.values() if r.id.encode() > floor)
        return sorted(behind, key=lambda record: record.id.encode())[:limit]


class MemoryPast:
    """PastReader over a store in memory.

    Args:
        tables: the store.
        clock: the time, UTC.
    """

    def __init__(self, tables: MemoryTables, clock: Callable[[], datetime]) -> None:
        self._tables = tables
        self._clock = clock

    async def at_revision(self, tenant: TenantId, revision: Revision) -> Head:
        """The head as it was at a revision; errors as the port."""
        state = self._tables.tenants.get(tenant)
        if revision > (state.revision if state else 0):
            raise BeyondHeadError(f"revision {revision} is beyond the tenant's head")
        if state is None:
            return Head(self._tables.epoch, Revision(0), SchemaVersion(""))
        state.require_readable(revision)
        written = [v for v, record in state.schemas.items() if record.revision <= revision]
        return Head(state.epoch, revision, max(written, default=SchemaVersion("")), state.begins)

    async def at_time(self, tenant: TenantId, time: datetime) -> Head:
        """The head as it was at a time; errors as the port."""
        require_past(time, now=self._clock())
        state = self._tables.tenants.get(tenant)
        revision = bisect_right(state.times, time) if state else 0
        return await self.at_revision(tenant, Revision(revision))
