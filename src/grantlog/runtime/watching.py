"""Where watching meets its adapters: the log, its hub, and the use case over both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from grantlog.app.known import KnownHeads
from grantlog.app.resolve import Resolver
from grantlog.app.terms import Consistency
from grantlog.app.watch import Watch
from grantlog.app.watch_hub import WatchHub
from grantlog.background import background_tasks
from grantlog.changelog.counts import TopicCounts
from grantlog.changelog.postgres.log import PostgresChangeLog, open_change_log
from grantlog.ports.log import TenantLog
from grantlog.runtime.kafka_settings import KafkaSettings
from grantlog.runtime.watch_settings import WatchSettings
from grantlog.store.postgres.connecting import THE_PRIMARY
from grantlog.store.postgres.heads import open_heads
from grantlog.store.postgres.past import PostgresPast
from grantlog.store.postgres.pool import INDEX_PLANS, Pool, Setup, open_pool


@asynccontextmanager
async def open_watch(
    settings: WatchSettings,
    dsn: str,
    lookups: Pool,
    known: KnownHeads,
    *,
    prove: Setup | None = None,
    counts: TopicCounts | None = None,
) -> AsyncGenerator[tuple[WatchHub, Watch]]:
    """The watch, and the hub that follows the log for all watchers of this process.

    Args:
        settings: its bounds, and Kafka, if the log is read there.
        dsn: the primary, reached directly.
        lookups: connections to the primary, for its heads.
        known: what this process knows of them.
        prove: what its own connections to the primary must pass.
        counts: where is counted what is read of the topic.
    """
    name = "grantlog watch"
    size_max = settings.watch_connections_max
    async with (
        open_pool(
            dsn,
            size_max=size_max,
            application_name=name,
            settings=INDEX_PLANS,
            on_connect=prove,
            whose=THE_PRIMARY,
        ) as pool,
        open_change_log(pool, listen_dsn=dsn) as log,
        open_tenant_log(settings, pool, log, counts=counts) as hub_log,
        open_heads(lookups) as heads,
        background_tasks() as group,
    ):
        hub = WatchHub(hub_log, settings.watch_limits)
        following = group.create_task(hub.run(), name="watch hub")
        try:
            resolver = Resolver(heads, PostgresPast(lookups), known, Consistency.HEAD)
            clock = asyncio.get_running_loop().time
            yield hub, Watch(resolver, log, hub, settings.watch_limits, clock)
        finally:
            following.cancel()


@asynccontextmanager
async def open_tenant_log(
    settings: KafkaSettings,
    pool: Pool,
    primary: PostgresChangeLog,
    *,
    gather_s: float | None = None,
    counts: TopicCounts | None = None,
) -> AsyncGenerator[TenantLog]:
    """The log for one follower of some tenants: on Kafka where that is configured.

    Args:
        settings: where Kafka is.
        pool: connections to the primary.
        primary: its log, which is asked where the topic does not know.
        gather_s: on Kafka, for how long what is sent is gathered, less work, and later; a few
            milliseconds if None.
        counts: where is counted what is read there.
    """
    if not settings.kafka_bootstrap:
        yield primary
        return
    from grantlog.runtime import kafka  # noqa: PLC0415 - its client takes time to load

    gather_s = kafka.GATHER_S if gather_s is None else gather_s
    async with kafka.open_tenant_log(
        settings, pool, primary, gather_s=gather_s, counts=counts
    ) as log:
        yield log
