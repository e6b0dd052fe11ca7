"""Where ports meet their adapters: everything that the API service opens, in order."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from grantlog.app.ask_many import BulkCheck, SubjectPermissions
from grantlog.app.bundles import Bundles
from grantlog.app.cached import Caches
from grantlog.app.check import Check
from grantlog.app.continuation import Continuations
from grantlog.app.data import WriteData
from grantlog.app.expand import Expand
from grantlog.app.known import KnownHeads
from grantlog.app.list_schemas import ListSchemas
from grantlog.app.listing import ListFacts
from grantlog.app.lives import keep_to_the_living
from grantlog.app.lookup import Lookup
from grantlog.app.places import Places
from grantlog.app.resolve import Resolver
from grantlog.app.schemas import SchemaCache, Schemas
from grantlog.app.tenants import Tenants
from grantlog.app.terms import Consistency
from grantlog.app.watch import Watch
from grantlog.app.watch_hub import WatchHub
from grantlog.changelog.postgres.log import PostgresChangeLog, open_change_log
from grantlog.model.ids import Epoch, TenantId
from grantlog.ports.facts import FactReader
from grantlog.ports.listing import FactLister
from grantlog.ports.log import TenantLog
from grantlog.ports.reverse import ReverseReader
from grantlog.runtime.supervise import Job
from grantlog.store.postgres.background import background_tasks
from grantlog.store.postgres.bundles import PostgresBundles
from grantlog.store.postgres.heads import open_heads
from grantlog.store.postgres.health import missing_followers
from grantlog.store.postgres.lister import open_fact_lister
from grantlog.store.postgres.past import PostgresPast
from grantlog.store.postgres.pool import INDEX_PLANS, Pool, open_pool
from grantlog.store.postgres.primary import open_primary_pool
from grantlog.store.postgres.reader import open_fact_reader
from grantlog.store.postgres.replica_reads import open_replica_reads
from grantlog.store.postgres.reverse import open_reverse_reader
from grantlog.store.postgres.schemas import PostgresSchemas
from grantlog.store.postgres.signal import open_signal
from grantlog.store.postgres.tenants import PostgresTenants, read_mac_key
from grantlog.store.postgres.writer.limits import WriterLimits
from grantlog.store.postgres.writer.writer import open_writer
from grantlog_api.caching import open_caches
from grantlog_api.calls import Calls
from grantlog_api.handlers.bundle import BundleHandlers
from grantlog_api.handlers.data import DataHandlers
from grantlog_api.handlers.lookup import LookupHandlers
from grantlog_api.handlers.permission import PermissionHandlers
from grantlog_api.handlers.schema import SchemaHandlers
from grantlog_api.handlers.tenancy import TenancyHandlers
from grantlog_api.handlers.watch import WatchHandlers
from grantlog_api.health import HealthProbe
from grantlog_api.settings import ApiSettings
from grantlog_api.tables import handler_table, stream_table

_WRITE_ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Api:
    """What the doors need."""

    calls: Calls
    probe: HealthProbe
    watches: WatchHub


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the use cases read and write."""

    lookups: Pool
    writes: Pool
    facts: FactReader
    lister: FactLister
    reverse: ReverseReader


@dataclass(frozen=True, slots=True)
class _Kept:
    """What this node keeps in memory of tenants."""

    known: KnownHeads
    cache: SchemaCache
    caches: Caches


@asynccontextmanager
async def open_api(settings: ApiSettings) -> AsyncGenerator[Api]:
    """The service's parts for the block; they close in reverse order.

    Raises:
        UnavailableError: the database does not answer.
        PreconditionError: the database is of another version, or was not seeded.
    """
    async with AsyncExitStack() as stack:
        dsn = settings.database_url.get_secret_value()
        # Apart, so that heads never queue behind the tenants that are being written.
        lookups, writes = [
            await stack.enter_async_context(
                open_primary_pool(dsn, size_max=size_max, application_name=f"grantlog api {name}")
            )
            for name, size_max in (
                ("lookups", settings.lookup_connections_max),
                ("writes", settings.write_connections_max),
            )
        ]
        cache = SchemaCache(PostgresSchemas(lookups))
        caches = await stack.enter_async_context(open_caches(settings))
        kept = _Kept(KnownHeads(life_began=cache.forget_before), cache, caches)
        facts, lister, reverse = await _open_facts(stack, settings, kept.known)
        places = _Places(lookups, writes, facts, lister, reverse)
        hub, watch = await _open_watch(stack, settings, places, kept.known)
        calls = await _open_calls(stack, settings, places, kept, WatchHandlers(watch))
        yield Api(calls, _probe(settings, lookups), hub)


async def _open_facts(
    stack: AsyncExitStack, settings: ApiSettings, known: KnownHeads
) -> tuple[FactReader, FactLister, ReverseReader]:
    """Readers of facts: over the primary's own tables, or over a replica."""
    dsn = settings.database_url.get_secret_value()
    if settings.replica_dsn is not None:

        def epoch_floor(tenant: TenantId) -> Epoch:
            head = known.head(tenant)
            return head.epoch if head is not None else Epoch(0)

        return await stack.enter_async_context(
            open_replica_reads(
                dsn,
                settings.replica_dsn,
                epoch_floor=epoch_floor,
                read_connections_max=settings.read_connections_max,
                fallback_connections_max=settings.fallback_connections_max,
                list_connections_max=settings.list_connections_max,
            )
        )
    pool = await stack.enter_async_context(
        open_pool(
            dsn,
            size_max=settings.read_connections_max,
            application_name="grantlog api reads",
            settings=INDEX_PLANS,
        )
    )
    return (
        await stack.enter_async_context(
            open_fact_reader(pool, statements_max=settings.read_connections_max)
        ),
        await stack.enter_async_context(
            open_fact_lister(dsn, size_max=settings.list_connections_max)
        ),
        await stack.enter_async_context(
            open_reverse_reader(dsn, size_max=settings.list_connections_max)
        ),
    )


async def _open_calls(
    stack: AsyncExitStack,
    settings: ApiSettings,
    places: _Places,
    kept: _Kept,
    watch: WatchHandlers,
) -> Calls:
    signal = await stack.enter_async_context(open_signal(settings.database_url.get_secret_value()))
    limits = WriterLimits(changes_per_write_max=settings.changes_per_write_max)
    caches = kept.caches
    writer = await stack.enter_async_context(
        open_writer(
            places.writes, changed=signal.changed, limits=limits, committed=caches.clocks.follow
        )
    )
    heads = await stack.enter_async_context(open_heads(places.lookups))
    schemas = PostgresSchemas(places.lookups)
    known, cache = kept.known, kept.cache
    consistency = Consistency(settings.consistency)
    resolver = Resolver(
        heads, PostgresPast(places.lookups), known, consistency, settings.staleness_s_max
    )
    group = await stack.enter_async_context(background_tasks())
    living = group.create_task(keep_to_the_living(resolver, cache), name="keep to the living")
    stack.callback(living.cancel)
    pages = Continuations(await read_mac_key(places.lookups))
    common: Mapping[str, Any] = {"writer": writer, "known": known, "new_id": new_write_id}
    write_data = WriteData(
        resolver=resolver,
        cache=cache,
        facts_per_write_max=settings.facts_per_write_max,
        **common,
    )
    bundles = Bundles(reader=PostgresBundles(places.lookups), write_data=write_data, **common)
    at = Places(resolver, cache, places.facts, places.reverse, caches)
    lookup = LookupHandlers(Lookup(at, pages, asyncio.get_running_loop().time))
    permission = PermissionHandlers(
        Check(resolver, cache, places.facts, caches),
        BulkCheck(at),
        SubjectPermissions(at),
        Expand(at),
    )
    schema = SchemaHandlers(
        Schemas(reader=schemas, resolver=resolver, cache=cache, **common),
        ListSchemas(resolver, schemas, pages),
    )
    data = DataHandlers(write_data, ListFacts(resolver, places.lister, pages))
    tenancy = TenancyHandlers(Tenants(lister=PostgresTenants(places.lookups), **common), pages)
    return Calls(
        handler_table(
            permission=permission,
            lookup=lookup,
            schema=schema,
            data=data,
            bundle=BundleHandlers(bundles),
            tenancy=tenancy,
        ),
        stream_table(lookup=lookup, watch=watch),
        timeout_s=settings.request_timeout_s,
        streams_max=settings.streams_max,
        now=known.now,
    )


async def _open_watch(
    stack: AsyncExitStack, settings: ApiSettings, places: _Places, known: KnownHeads
) -> tuple[WatchHub, Watch]:
    """The watch call, and the hub that follows the log for all watchers of this process."""
    dsn = settings.database_url.get_secret_value()
    pool = await stack.enter_async_context(
        open_pool(
            dsn,
            size_max=settings.watch_connections_max,
            application_name="grantlog api watch",
            settings=INDEX_PLANS,
        )
    )
    log = await stack.enter_async_context(open_change_log(pool, listen_dsn=dsn))
    hub_log = await stack.enter_async_context(_open_hub_log(settings, pool, log))
    heads = await stack.enter_async_context(open_heads(places.lookups))
    limits = settings.watch_limits
    hub = WatchHub(hub_log, limits)
    group = await stack.enter_async_context(background_tasks())
    following = group.create_task(hub.run(), name="watch hub")
    stack.callback(following.cancel)
    past = PostgresPast(places.lookups)
    resolver = Resolver(heads, past, known, Consistency(settings.consistency))
    clock = asyncio.get_running_loop().time
    return hub, Watch(resolver, log, hub, limits, clock)


@asynccontextmanager
async def _open_hub_log(
    settings: ApiSettings, pool: Pool, primary: PostgresChangeLog
) -> AsyncGenerator[TenantLog]:
    """The log that the hub follows: on Kafka where that is configured."""
    if not settings.kafka_bootstrap:
        yield primary
        return
    from grantlog.runtime.kafka import open_hub_log  # noqa: PLC0415 - its client takes time to load

    async with open_hub_log(settings, pool, primary) as log:
        yield log


def publishing(settings: ApiSettings, stop: asyncio.Event) -> dict[str, Job]:
    """The job that publishes the log to Kafka, if this process may."""
    if not (settings.kafka_bootstrap and settings.kafka_publish):
        return {}
    from grantlog.runtime.kafka import publish  # noqa: PLC0415 - as above

    return {"publisher": lambda: publish(settings.database_url.get_secret_value(), settings, stop)}


def new_write_id() -> bytes:
    """The id under which the outcome of a lost COMMIT is found again."""
    return secrets.token_bytes(_WRITE_ID_BYTES)


def _probe(settings: ApiSettings, lookups: Pool) -> HealthProbe:
    kinds = ["maintenance", "replica"] if settings.replica_dsn else ["maintenance"]

    async def trouble() -> str:
        missing = await missing_followers(lookups, kinds)
        return f"no follower beats of kind {', '.join(missing)}" if missing else ""

    return HealthProbe(trouble)
