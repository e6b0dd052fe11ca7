"""The memory adapters, wired as a primary and as a replica."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

from grantlog.changelog.memory.log import MemoryChangeLog
from grantlog.model.ids import Revision, TenantId
from grantlog.store.memory.copying import MemoryCopySource, MemoryCopyTarget
from grantlog.store.memory.heads import MemoryHeads, MemoryPast
from grantlog.store.memory.projection import MemoryProjection
from grantlog.store.memory.reader import MemoryFactLister, MemoryFactReader
from grantlog.store.memory.reverse import MemoryReverseReader
from grantlog.store.memory.tables import MemoryTables
from grantlog.store.memory.writer import MemoryWriter
from grantlog.testing.contracts.places import Copy, Primary


def memory_clock():
    """A clock that stands still for several readings, as a coarse one does."""
    readings = count()
    start = datetime(2030, 1, 1, tzinfo=UTC)
    return lambda: start + timedelta(milliseconds=next(readings) // 3)


def collector(tables: MemoryTables):
    async def collect(tenant: TenantId, floor: Revision) -> None:
        state = tables.tenants[tenant]
        state.floor = floor
        state.facts.collect(floor)

    return collect


def memory_primary() -> Primary:
    tables = MemoryTables()
    clock = memory_clock()
    log = MemoryChangeLog(clock)
    salts = count(1)
    heads = MemoryHeads(tables)

    async def open_epoch() -> None:
        log.heads_changed(tables.open_epoch())

    return Primary(
        facts=MemoryFactReader(tables),
        lister=MemoryFactLister(tables),
        reverse=MemoryReverseReader(tables),
        projection=MemoryProjection(tables),
        collect=collector(tables),
        source=MemoryCopySource(tables, log.digest_at),
        target=MemoryCopyTarget(tables),
        writer=MemoryWriter(
            tables, log.record, clock=clock, new_salt=lambda: next(salts).to_bytes(16, "big")
        ),
        heads=heads,
        past=MemoryPast(tables, lambda: datetime(2040, 1, 1, tzinfo=UTC)),
        schemas=heads,
        tenants=heads,
        bundles=heads,
        log=log,
        open_epoch=open_epoch,
    )


def memory_replica() -> Copy:
    tables = MemoryTables()
    return Copy(
        facts=MemoryFactReader(tables),
        lister=MemoryFactLister(tables),
        reverse=MemoryReverseReader(tables),
        projection=MemoryProjection(tables),
        collect=collector(tables),
        source=MemoryCopySource(tables, lambda _tenant, _revision: None),
        target=MemoryCopyTarget(tables),
    )
