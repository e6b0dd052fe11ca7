"""Where ports meet their adapters: everything that the API service opens, in order."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from grantlog.app.ask_many import BulkCheck, SubjectPermissions
from grantlog.app.bundles import Bundles
from grantlog.app.check import Check
from grantlog.app.continuation import Continuations
from grantlog.app.data import WriteData
from grantlog.app.expand import Expand
from grantlog.app.list_schemas import ListSchemas
from grantlog.app.listing import ListFacts
from grantlog.app.lives import keep_to_the_living
from grantlog.app.lookup import Lookup
from grantlog.app.places import Places
from grantlog.app.resolve import Resolver
from grantlog.app.schemas import Schemas
from grantlog.app.tenants import Tenants
from grantlog.app.terms import Consistency
from grantlog.background import background_tasks
from grantlog.runtime.supervise import Job
from grantlog.runtime.watching import open_watch
from grantlog.serving.calls import Calls
from grantlog.serving.health import HealthProbe
from grantlog.serving.metrics import Family, labelled
from grantlog.serving.watching import WatchHandlers
from grantlog.store.postgres.bundles import PostgresBundles
from grantlog.store.postgres.followers import MAINTENANCE, REPLICA
from grantlog.store.postgres.heads import open_heads
from grantlog.store.postgres.health import missing_followers, unattended
from grantlog.store.postgres.lister import open_fact_lister
from grantlog.store.postgres.lives import Kind
from grantlog.store.postgres.past import PostgresPast
from grantlog.store.postgres.pool import INDEX_PLANS, Pool, open_pool
from grantlog.store.postgres.primary import open_primary_pool
from grantlog.store.postgres.proof import Proof
from grantlog.store.postgres.reader import open_fact_reader
from grantlog.store.postgres.replica_reads import Connections, open_replica_reads
from grantlog.store.postgres.replica_state import Reads, ReplicaState
from grantlog.store.postgres.reverse import open_reverse_reader
from grantlog.store.postgres.schemas import PostgresSchemas
from grantlog.store.postgres.signal import open_signal
from grantlog.store.postgres.tenants import PostgresTenants, read_mac_key
from grantlog.store.postgres.writer.limits import WriterLimits
from grantlog.store.postgres.writer.writer import open_writer
from grantlog_api.caching import open_caches
from grantlog_api.handlers.bundle import BundleHandlers
from grantlog_api.handlers.data import DataHandlers
from grantlog_api.handlers.lookup import LookupHandlers
from grantlog_api.handlers.permission import PermissionHandlers
from grantlog_api.handlers.schema import SchemaHandlers
from grantlog_api.handlers.tenancy import TenancyHandlers
from grantlog_api.memory import Memory
from grantlog_api.metrics import families_of
from grantlog_api.ring import open_ring
from grantlog_api.settings import ApiSettings
from grantlog_api.tables import WatchCall, handler_table, stream_table
from grantlog_api.watch_proxy import open_proxy

_WRITE_ID_BYTES: Final = 16


class Watches(Protocol):
    """All watchers of this node."""

    def close(self) -> None:
        """End them, those included that come later: the process is going to stop."""
        ...


@dataclass(frozen=True, slots=True)
class Api:
    """What the doors need."""

    calls: Calls
    probe: HealthProbe
    watches: Watches
    metrics: Callable[[], Sequence[Family]]


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the use cases read and write."""

    lookups: Pool
    writes: Pool
    reads: Reads


@asynccontextmanager
async def open_api(settings: ApiSettings) -> AsyncGenerator[Api]:
    """The service's parts for the block; they close in reverse order.

    Raises:
        UnavailableError: the database does not answer.
        PreconditionError: the database is of another version, or was not seeded.
    """
    async with AsyncExitStack() as stack:
        dsn = settings.database_url.get_secret_value()
        kept = Memory()
        # Apart, so that heads never queue behind the tenants that are being written.
        lookups, writes = [
            await stack.enter_async_context(
                open_primary_pool(
                    dsn,
                    size_max=size_max,
                    application_name=f"grantlog api {name}",
                    proof=kept.proof,
                )
            )
            for name, size_max in (
                ("lookups", settings.lookup_connections_max),
                ("writes", settings.write_connections_max),
            )
        ]
        kept.open_cache(PostgresSchemas(lookups))
        kept.caches = await stack.enter_async_context(open_caches(settings, kept.proof))
        reads, replicas = await _open_facts(stack, settings, kept)
        ring = await stack.enter_async_context(open_ring(settings, kept, lookups, reads.facts))
        places = _Places(lookups, writes, reads)
        watches, watch = await _open_watch(stack, settings, lookups, kept)
        calls = await _open_calls(stack, settings, places, kept, watch)
        probe = _probe(lookups, replicas, kept.proof)
        labels = {"worker": settings.worker} if settings.worker else {}
        yield Api(calls, probe, watches, lambda: labelled(families_of(kept.caches, ring), labels))


async def _open_watch(
    stack: AsyncExitStack, settings: ApiSettings, lookups: Pool, kept: Memory
) -> tuple[Watches, WatchCall]:
    """What ends all watchers, and what answers them: watch services, or this node itself."""
    if settings.watch_addresses:
        proxy = await stack.enter_async_context(
            open_proxy(
                settings.watch_addresses,
                heartbeat_s=settings.heartbeat_s,
                timeout_s=settings.request_timeout_s,
            )
        )
        return proxy, proxy.watch
    dsn = settings.database_url.get_secret_value()
    hub, watch = await stack.enter_async_context(
        open_watch(settings, dsn, lookups, kept.known, prove=kept.proof.prove)
    )
    return hub, WatchHandlers(watch).watch


async def _open_facts(
    stack: AsyncExitStack, settings: ApiSettings, kept: Memory
) -> tuple[Reads, Sequence[ReplicaState]]:
    """Readers of facts, over the primary's own tables or over replicas, and how these do."""
    dsn = settings.database_url.get_secret_value()
    if settings.replica_dsns:
        return await stack.enter_async_context(
            open_replica_reads(
                dsn,
                settings.replica_dsns,
                proof=kept.proof,
                connections=Connections(
                    reads_max=settings.read_connections_max,
                    lists_max=settings.list_connections_max,
                    fallback_max=settings.fallback_connections_max,
                ),
            )
        )
    pool = await stack.enter_async_context(
        open_pool(
            dsn,
            size_max=settings.read_connections_max,
            application_name="grantlog api reads",
            settings=INDEX_PLANS,
            on_connect=kept.proof.prove,
        )
    )
    reads = Reads(
        await stack.enter_async_context(
            open_fact_reader(pool, statements_max=settings.read_connections_max)
        ),
        await stack.enter_async_context(
            open_fact_lister(
                dsn, size_max=settings.list_connections_max, on_connect=kept.proof.prove
            )
        ),
        await stack.enter_async_context(
            open_reverse_reader(
                dsn, size_max=settings.list_connections_max, on_connect=kept.proof.prove
            )
        ),
    )
    return reads, ()


async def _open_calls(
    stack: AsyncExitStack,
    settings: ApiSettings,
    places: _Places,
    kept: Memory,
    watch: WatchCall,
) -> Calls:
    signal = await stack.enter_async_context(open_signal(settings.database_url.get_secret_value()))
    limits = WriterLimits(changes_per_write_max=settings.changes_per_write_max)
    writer = await stack.enter_async_context(
        open_writer(
            places.writes,
            changed=signal.changed,
            limits=limits,
            acknowledged=kept.acknowledged,
            committed=kept.caches.clocks.follow,
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
    if not settings.replica_dsns:  # who reads replicas looks itself
        looking = group.create_task(
            kept.proof.keep_looking(places.lookups), name="look at the epoch"
        )
        stack.callback(looking.cancel)
    pages = Continuations(await read_mac_key(places.lookups))
    common: Mapping[str, Any] = {"writer": writer, "known": known, "new_id": new_write_id}
    write_data = WriteData(
        resolver=resolver,
        cache=cache,
        facts_per_write_max=settings.facts_per_write_max,
        **common,
    )
    bundles = Bundles(reader=PostgresBundles(places.lookups), write_data=write_data, **common)
    at = Places(resolver, cache, places.reads.facts, places.reads.reverse, kept.caches)
    lookup = LookupHandlers(Lookup(at, pages, asyncio.get_running_loop().time))
    permission = PermissionHandlers(
        Check(resolver, cache, places.reads.facts, kept.caches),
        BulkCheck(at),
        SubjectPermissions(at),
        Expand(at),
    )
    schema = SchemaHandlers(
        Schemas(reader=schemas, resolver=resolver, cache=cache, **common),
        ListSchemas(resolver, schemas, pages),
    )
    data = DataHandlers(write_data, ListFacts(resolver, places.reads.lister, pages))
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


def publishing(settings: ApiSettings, stop: asyncio.Event) -> dict[str, Job]:
    """The job that publishes the log to Kafka, if this process may."""
    if not (settings.kafka_bootstrap and settings.kafka_publish):
        return {}
    from grantlog.runtime.kafka import publish  # noqa: PLC0415 - its client takes time to load

    return {"publisher": lambda: publish(settings.database_url.get_secret_value(), settings, stop)}


def new_write_id() -> bytes:
    """The id under which the outcome of a lost COMMIT is found again."""
    return secrets.token_bytes(_WRITE_ID_BYTES)


def _probe(lookups: Pool, replicas: Sequence[ReplicaState], proof: Proof) -> HealthProbe:
    async def degraded() -> str:
        projected = any(replica.kind is Kind.PROJECTED for replica in replicas)
        kinds = [MAINTENANCE, REPLICA] if projected else [MAINTENANCE]
        missing = await missing_followers(lookups, kinds)
        told = [unattended(missing)] if missing else []
        if replicas and all(replica.out_because for replica in replicas):
            told.append("no replica is read: reads go to the primary")
        return "; ".join(told)

    def readers() -> dict[str, str]:
        rival = {"primary": proof.rival} if proof.rival else {}
        return {str(r.number): r.out_because or "in" for r in replicas} | rival

    return HealthProbe(degraded, readers)
