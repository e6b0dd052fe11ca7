"""The Postgres adapters, wired as a primary and as a replica."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from grantlog.changelog.postgres.log import open_change_log
from grantlog.model.ids import Revision, TenantId
from grantlog.store.postgres.bundles import PostgresBundles
from grantlog.store.postgres.collect import collect_before
from grantlog.store.postgres.copy_source import PostgresCopySource
from grantlog.store.postgres.copy_target import PostgresCopyTarget
from grantlog.store.postgres.epoch import open_epoch
from grantlog.store.postgres.heads import open_heads
from grantlog.store.postgres.lister import open_fact_lister
from grantlog.store.postgres.past import PostgresPast
from grantlog.store.postgres.pool import INDEX_PLANS, open_pool
from grantlog.store.postgres.primary import open_primary_pool
from grantlog.store.postgres.projection import PROJECTING, PostgresProjection
from grantlog.store.postgres.reader import open_fact_reader
from grantlog.store.postgres.reverse import open_reverse_reader
from grantlog.store.postgres.schemas import PostgresSchemas
from grantlog.store.postgres.signal import open_signal
from grantlog.store.postgres.tenants import PostgresTenants
from grantlog.store.postgres.writer.writer import open_writer
from grantlog.testing.contracts.places import Copy, Primary


@asynccontextmanager
async def postgres_primary(dsn: str) -> AsyncIterator[Primary]:
    async def reopen() -> None:
        await open_epoch(dsn, reason="a test")

    async def collect(tenant: TenantId, floor: Revision) -> None:
        await collect_before(pool, tenant, floor)

    async with (
        open_primary_pool(dsn, size_max=5, application_name="test") as pool,
        open_pool(dsn, size_max=3, application_name="test", settings=INDEX_PLANS) as reading,
        open_signal(dsn) as signal,
        open_writer(pool, changed=signal.changed) as writer,
        open_heads(pool) as heads,
        open_fact_reader(reading) as facts,
        open_fact_lister(dsn, size_max=2) as lister,
        open_reverse_reader(dsn, size_max=2) as reverse,
        open_change_log(reading, listen_dsn=dsn) as log,
    ):
        yield Primary(
            facts=facts,
            lister=lister,
            reverse=reverse,
            projection=PostgresProjection(reading),
            collect=collect,
            source=PostgresCopySource(reading),
            target=PostgresCopyTarget(reading),
            writer=writer,
            heads=heads,
            past=PostgresPast(pool),
            schemas=PostgresSchemas(pool),
            tenants=PostgresTenants(pool),
            bundles=PostgresBundles(pool),
            log=log,
            open_epoch=reopen,
        )


@asynccontextmanager
async def postgres_replica(dsn: str) -> AsyncIterator[Copy]:
    async def collect(tenant: TenantId, floor: Revision) -> None:
        await collect_before(pool, tenant, floor)

    async with (
        open_pool(dsn, size_max=4, application_name="test", settings=PROJECTING) as pool,
        open_fact_reader(pool) as facts,
        open_fact_lister(dsn, size_max=2) as lister,
        open_reverse_reader(dsn, size_max=2) as reverse,
    ):
        yield Copy(
            facts=facts,
            lister=lister,
            reverse=reverse,
            projection=PostgresProjection(pool),
            collect=collect,
            source=PostgresCopySource(pool),
            target=PostgresCopyTarget(pool),
        )
