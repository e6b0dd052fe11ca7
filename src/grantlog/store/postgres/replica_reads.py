"""Reading replicas that lag or die: ask another, wait a little, ask the primary, never guess.

`replica_first` decides who answers; here are the readers over it, and what they stand on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

from grantlog.background import background_tasks
from grantlog.model.attributes import Attribute
from grantlog.model.ids import ANY_EPOCH, Epoch, Revision, TenantId
from grantlog.model.tuples import RelationTuple
from grantlog.ports.facts import AttributeFilter, FactAnswer, FactKey, TupleFilter
from grantlog.store.postgres.connecting import THE_PRIMARY, THE_REPLICA, place_of
from grantlog.store.postgres.guard import Admit, admit_any
from grantlog.store.postgres.lister import LISTING_PLANS, PostgresFactLister
from grantlog.store.postgres.lives import READERS
from grantlog.store.postgres.pool import INDEX_PLANS, Pool, Setup, open_pool
from grantlog.store.postgres.proof import Proof
from grantlog.store.postgres.reader import open_fact_reader
from grantlog.store.postgres.replica_first import ReplicaFirst, ReplicaLimits
from grantlog.store.postgres.replica_probe import ReplicaProbe, entering, proving
from grantlog.store.postgres.replica_reverse import ReplicaReverseReader
from grantlog.store.postgres.replica_state import OwnLog, Reads, ReplicaCopy, ReplicaState
from grantlog.store.postgres.reverse import PostgresReverseReader

COMMAND_TIMEOUT_S: Final = 3.0
"""A statement of a few milliseconds that takes so long: that database is not well."""


class ReplicaFactReader:
    """FactReader over replicas, with the primary behind them."""

    def __init__(self, first: ReplicaFirst) -> None:
        self._first = first

    async def read(
        self,
        tenant: TenantId,
        revision: Revision,
        keys: Sequence[FactKey],
        *,
        epoch: Epoch = ANY_EPOCH,
    ) -> Sequence[FactAnswer]:
        """Answer every key, in order, as of exactly `revision`; errors as `ReplicaFirst`."""
        return await self._first.answer(
            tenant,
            revision,
            lambda reads: reads.facts.read(tenant, revision, keys, epoch=epoch),
            epoch=epoch,
        )


class ReplicaFactLister:
    """FactLister over replicas, with the primary behind them."""

    def __init__(self, first: ReplicaFirst) -> None:
        self._first = first

    async def tuples(
        self,
        tenant: TenantId,
        revision: Revision,
        where: TupleFilter,
        *,
        limit: int,
        after: RelationTuple | None = None,
        epoch: Epoch = ANY_EPOCH,
    ) -> Sequence[RelationTuple]:
        """The first `limit` tuples behind `after`; errors as `ReplicaFirst`."""

        def page(reads: Reads) -> Awaitable[Sequence[RelationTuple]]:
            return reads.lister.tuples(
                tenant, revision, where, limit=limit, after=after, epoch=epoch
            )

        return await self._first.answer(tenant, revision, page, epoch=epoch)

    async def attributes(
        self,
        tenant: TenantId,
        revision: Revision,
        where: AttributeFilter,
        *,
        limit: int,
        after: tuple[str, str, str] | None = None,
        epoch: Epoch = ANY_EPOCH,
    ) -> Sequence[Attribute]:
        """The first `limit` attributes behind `after`; errors as `ReplicaFirst`."""

        def page(reads: Reads) -> Awaitable[Sequence[Attribute]]:
            return reads.lister.attributes(
                tenant, revision, where, limit=limit, after=after, epoch=epoch
            )

        return await self._first.answer(tenant, revision, page, epoch=epoch)


@dataclass(frozen=True, slots=True)
class Connections:
    """How many connections reading may take."""

    reads_max: int = 2
    """Of each replica, for reads of facts: statements in flight."""
    lists_max: int = 4
    """Of each replica, for listing facts, and as many for finding ids."""
    fallback_max: int = 2
    """Of the primary, for what no replica can answer, for each of the three."""


class ReplicaReads(NamedTuple):
    """What reads facts, and how its replicas do."""

    reads: Reads
    states: Sequence[ReplicaState]


@asynccontextmanager
async def open_replica_reads(
    primary_dsn: str,
    replica_dsns: Sequence[str],
    *,
    proof: Proof | None = None,
    connections: Connections | None = None,
    limits: ReplicaLimits | None = None,
) -> AsyncGenerator[ReplicaReads]:
    """Readers over replicas, with their own small pools of the primary.

    A replica that does not answer, or is not this log's, is left out until it does and is.

    Args:
        primary_dsn: where writes commit.
        replica_dsns: databases that a projector folds into, and physical standbys.
        proof: what this process saw of the log; it looks at the primary's epoch as long as the
            readers are open.
        connections: bounds, the defaults if None.
        limits: bounds, the defaults if None.

    Raises:
        UnavailableError: the primary does not answer at the start.
    """
    connections, limits = connections or Connections(), limits or ReplicaLimits()
    proof = proof or Proof()
    async with AsyncExitStack() as stack:
        primary, (primary_pool, *_) = await _open_reads(
            stack,
            primary_dsn,
            (connections.fallback_max, connections.fallback_max),
            application_name="grantlog fallback reads",
            prove=proof.prove,
        )
        log = OwnLog(await proof.look(primary_pool), proof.doubted)
        opened = [
            await _open_replica(
                stack, ReplicaState(number, log, place_of(dsn)), log, dsn, connections
            )
            for number, dsn in enumerate(replica_dsns, start=1)
        ]
        states = [replica.copy.state for replica in opened]
        probes = [ReplicaProbe(r.copy.state, r.probing, log, limits) for r in opened]
        pools = [pool for replica in opened for pool in replica.reading]
        proof.on_new_lives(entering(log, states, pools))
        async with asyncio.TaskGroup() as asking:
            for probe in probes:
                asking.create_task(probe.probe(), name="first probe of a replica")
        looking = partial(proof.keep_looking, primary_pool, every_s=limits.probe_s)
        await _keep_running(stack, [looking, *(probe.run for probe in probes)])
        first = ReplicaFirst([replica.copy for replica in opened], primary, limits)
        readers = ReplicaFactReader(first), ReplicaFactLister(first), ReplicaReverseReader(first)
        yield ReplicaReads(Reads(*readers), states)


async def _keep_running(
    stack: AsyncExitStack, jobs: Sequence[Callable[[], Coroutine[Any, Any, None]]]
) -> None:
    group = await stack.enter_async_context(background_tasks())
    for job in jobs:
        stack.callback(group.create_task(job(), name="replica probe").cancel)


class _Opened(NamedTuple):
    copy: ReplicaCopy
    reading: Sequence[Pool]
    probing: Pool


async def _open_replica(
    stack: AsyncExitStack, state: ReplicaState, log: OwnLog, dsn: str, connections: Connections
) -> _Opened:
    """A replica's readers, over connections that are made when they are needed."""
    reads, reading = await _open_reads(
        stack,
        dsn,
        (connections.reads_max, connections.lists_max),
        application_name=READERS,
        prove=proving(log),
        admit=state.admit,
        lazy=True,
    )
    probing = open_pool(dsn, size_max=1, application_name="grantlog probe", lazy=True)
    return _Opened(ReplicaCopy(state, reads), reading, await stack.enter_async_context(probing))


async def _open_reads(
    stack: AsyncExitStack,
    dsn: str,
    sizes: tuple[int, int],
    *,
    application_name: str,
    prove: Setup,
    admit: Admit = admit_any,
    lazy: bool = False,
) -> tuple[Reads, Sequence[Pool]]:
    """All readers over one database, with a pool each, whose connections `prove` themselves."""
    reads_max, lists_max = sizes
    shapes = ((reads_max, INDEX_PLANS), (lists_max, LISTING_PLANS), (lists_max, LISTING_PLANS))
    pools = [
        await stack.enter_async_context(
            open_pool(
                dsn,
                size_max=size_max,
                application_name=application_name,
                command_timeout_s=COMMAND_TIMEOUT_S if plans is INDEX_PLANS else 30.0,
                settings=plans,
                on_connect=prove,
                lazy=lazy,
                whose=THE_REPLICA if lazy else THE_PRIMARY,
            )
        )
        for size_max, plans in shapes
    ]
    reader = open_fact_reader(pools[0], statements_max=reads_max, admit=admit)
    reads = Reads(
        await stack.enter_async_context(reader),
        PostgresFactLister(pools[1], admit),
        PostgresReverseReader(pools[2], admit),
    )
    return reads, pools
