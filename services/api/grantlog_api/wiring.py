"""Where ports meet their adapters: everything that the API service opens, in order."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from grantlog.app.continuation import Continuations
from grantlog.app.lives import keep_to_the_living
from grantlog.app.resolve import Resolver
from grantlog.app.terms import Consistency
from grantlog.background import background_tasks
from grantlog.changelog.counts import TopicCounts
from grantlog.ports.writer import TransactionWriter
from grantlog.runtime.supervise import Job
from grantlog.runtime.watching import open_watch
from grantlog.serving.call_lines import CallLines, open_call_lines
from grantlog.serving.calls import Calls
from grantlog.serving.health import HealthProbe
from grantlog.serving.metrics import Family, labelled
from grantlog.serving.watching import WatchHandlers
from grantlog.store.postgres.connecting import THE_PRIMARY
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
from grantlog.store.postgres.tenants import read_mac_key
from grantlog.store.postgres.writer.limits import WriterLimits
from grantlog.store.postgres.writer.writer import open_writer
from grantlog_api.caching import open_caches
from grantlog_api.memory import Memory
from grantlog_api.metrics import families_of, families_of_calls
from grantlog_api.ring import open_ring
from grantlog_api.settings import ApiSettings
from grantlog_api.tables import WatchCall
from grantlog_api.use_cases import Parts, calls_over
from grantlog_api.watch_proxy import open_proxy


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


@asynccontextmanager
async def open_api(settings: ApiSettings) -> AsyncGenerator[Api]:
    """The service's parts for the block; they close in reverse order.

    Raises:
        UnavailableError: the database does not answer.
        PreconditionError: the database is of another version, or was not seeded.
    """
    async with AsyncExitStack() as stack:
        kept, topic = Memory(), TopicCounts()
        lookups, writes = await _open_primary(stack, settings, kept)
        kept.open_cache(PostgresSchemas(lookups))
        kept.caches = await stack.enter_async_context(open_caches(settings, kept.proof, topic))
        reads, replicas = await _open_facts(stack, settings, kept)
        ring = await stack.enter_async_context(open_ring(settings, kept, lookups, reads.facts))
        watches, watch = await _open_watch(stack, settings, lookups, kept, topic)
        parts = Parts(
            lookups,
            reads,
            writer=await _open_writer(stack, settings, writes, kept),
            resolver=await _open_resolver(stack, settings, lookups, kept),
            kept=kept,
            pages=Continuations(await read_mac_key(lookups)),
        )
        labels = {"worker": settings.worker} if settings.worker else {}
        lines = await _open_call_lines(stack, labels) if settings.call_lines else None
        calls = calls_over(parts, settings, watch, lines)
        probe = _probe(lookups, replicas, kept.proof)
        read = topic if settings.kafka_bootstrap else None

        def metrics() -> Sequence[Family]:
            told = (*families_of_calls(calls.counts, lines), *families_of(kept.caches, ring, read))
            return labelled(told, labels)

        yield Api(calls, probe, watches, metrics)


async def _open_call_lines(stack: AsyncExitStack, labels: Mapping[str, str]) -> CallLines:
    """Lines of calls, where the logs go: a worker's beside those of others."""
    to = sys.stderr
    return await stack.enter_async_context(
        open_call_lines(
            to.fileno(),
            {"service": "api", **labels},
            for_people=to.isatty(),
            shared=bool(labels),
        )
    )


async def _open_primary(
    stack: AsyncExitStack, settings: ApiSettings, kept: Memory
) -> tuple[Pool, Pool]:
    """Connections to the primary for heads, schemas and tenants, and others for writes.

    Apart, so that heads never queue behind the tenants that are being written.
    """
    lookups, writes = [
        await stack.enter_async_context(
            open_primary_pool(
                settings.database_url.get_secret_value(),
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
    return lookups, writes


async def _open_watch(
    stack: AsyncExitStack, settings: ApiSettings, lookups: Pool, kept: Memory, topic: TopicCounts
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
        open_watch(settings, dsn, lookups, kept.known, prove=kept.proof.prove, counts=topic)
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
    return await _open_own_facts(stack, settings, kept), ()


async def _open_own_facts(stack: AsyncExitStack, settings: ApiSettings, kept: Memory) -> Reads:
    """Readers of facts over the primary's own tables."""
    dsn = settings.database_url.get_secret_value()
    statements_max, lists_max = settings.read_connections_max, settings.list_connections_max
    prove = kept.proof.prove
    pool = await stack.enter_async_context(
        open_pool(
            dsn,
            size_max=statements_max,
            application_name="grantlog api reads",
            settings=INDEX_PLANS,
            on_connect=prove,
            whose=THE_PRIMARY,
        )
    )
    return Reads(
        await stack.enter_async_context(open_fact_reader(pool, statements_max=statements_max)),
        await stack.enter_async_context(
            open_fact_lister(dsn, size_max=lists_max, on_connect=prove)
        ),
        await stack.enter_async_context(
            open_reverse_reader(dsn, size_max=lists_max, on_connect=prove)
        ),
    )


async def _open_writer(
    stack: AsyncExitStack, settings: ApiSettings, writes: Pool, kept: Memory
) -> TransactionWriter:
    """Commits, and tells whoever follows the log, and this node's own memory, of it."""
    signal = await stack.enter_async_context(open_signal(settings.database_url.get_secret_value()))
    return await stack.enter_async_context(
        open_writer(
            writes,
            changed=signal.changed,
            limits=WriterLimits(changes_per_write_max=settings.changes_per_write_max),
            acknowledged=kept.acknowledged,
            committed=kept.caches.clocks.follow,
        )
    )


async def _open_resolver(
    stack: AsyncExitStack, settings: ApiSettings, lookups: Pool, kept: Memory
) -> Resolver:
    """Gives each question its revision; beside it runs what keeps the answers to the living."""
    heads = await stack.enter_async_context(open_heads(lookups))
    resolver = Resolver(
        heads,
        PostgresPast(lookups),
        kept.known,
        Consistency(settings.consistency),
        settings.staleness_s_max,
    )
    beside = {"keep to the living": keep_to_the_living(resolver, kept.cache)}
    if not settings.replica_dsns:  # who reads replicas looks itself
        beside["look at the epoch"] = kept.proof.keep_looking(lookups)
    group = await stack.enter_async_context(background_tasks())
    for name, work in beside.items():
        stack.callback(group.create_task(work, name=name).cancel)
    return resolver


def publishing(settings: ApiSettings, stop: asyncio.Event) -> dict[str, Job]:
    """The job that publishes the log to Kafka, if this process may."""
    if not (settings.kafka_bootstrap and settings.kafka_publish):
        return {}
    from grantlog.runtime.kafka import publish  # noqa: PLC0415 - its client takes time to load

    return {"publisher": lambda: publish(settings.database_url.get_secret_value(), settings, stop)}


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
