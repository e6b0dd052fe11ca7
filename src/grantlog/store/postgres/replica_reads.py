"""Reading a replica that may lag or be dead: wait a little, then ask the primary, never guess.

`replica_first` decides who answers; here are the readers over it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from grantlog.model.attributes import Attribute
from grantlog.model.ids import Revision, TenantId
from grantlog.model.tuples import RelationTuple
from grantlog.ports.facts import AttributeFilter, FactAnswer, FactKey, FactReader, TupleFilter
from grantlog.ports.listing import FactLister
from grantlog.ports.reverse import ReverseReader
from grantlog.store.postgres.guard import EpochFloor
from grantlog.store.postgres.lister import open_fact_lister
from grantlog.store.postgres.pool import INDEX_PLANS, open_pool
from grantlog.store.postgres.reader import open_fact_reader
from grantlog.store.postgres.replica_first import ReplicaFirst, ReplicaLimits
from grantlog.store.postgres.replica_reverse import ReplicaReverseReader
from grantlog.store.postgres.reverse import open_reverse_reader

COMMAND_TIMEOUT_S: Final = 3.0
"""A statement of a few milliseconds that takes so long: that database is not well."""


class ReplicaFactReader:
    """FactReader over a replica, with the primary behind it."""

    def __init__(self, first: ReplicaFirst, replica: FactReader, primary: FactReader) -> None:
        self._first = first
        self._replica = replica
        self._primary = primary

    async def read(
        self, tenant: TenantId, revision: Revision, keys: Sequence[FactKey]
    ) -> Sequence[FactAnswer]:
        """Answer every key, in order, as of exactly `revision`; errors as `ReplicaFirst`."""
        return await self._first.answer(
            tenant,
            revision,
            replica=lambda: self._replica.read(tenant, revision, keys),
            primary=lambda: self._primary.read(tenant, revision, keys),
        )


class ReplicaFactLister:
    """FactLister over a replica, with the primary behind it."""

    def __init__(self, first: ReplicaFirst, replica: FactLister, primary: FactLister) -> None:
        self._first = first
        self._replica = replica
        self._primary = primary

    async def tuples(
        self,
        tenant: TenantId,
        revision: Revision,
        where: TupleFilter,
        *,
        limit: int,
        after: RelationTuple | None = None,
    ) -> Sequence[RelationTuple]:
        """The first `limit` tuples behind `after`; errors as `ReplicaFirst`."""

        def page(lister: FactLister) -> Callable[[], Awaitable[Sequence[RelationTuple]]]:
            return lambda: lister.tuples(tenant, revision, where, limit=limit, after=after)

        return await self._first.answer(
            tenant, revision, replica=page(self._replica), primary=page(self._primary)
        )

    async def attributes(
        self,
        tenant: TenantId,
        revision: Revision,
        where: AttributeFilter,
        *,
        limit: int,
        after: tuple[str, str, str] | None = None,
    ) -> Sequence[Attribute]:
        """The first `limit` attributes behind `after`; errors as `ReplicaFirst`."""

        def page(lister: FactLister) -> Callable[[], Awaitable[Sequence[Attribute]]]:
            return lambda: lister.attributes(tenant, revision, where, limit=limit, after=after)

        return await self._first.answer(
            tenant, revision, replica=page(self._replica), primary=page(self._primary)
        )


class ReplicaReads(NamedTuple):
    """All that reads facts."""

    facts: FactReader
    lister: FactLister
    reverse: ReverseReader


@asynccontextmanager
async def open_replica_reads(
    primary_dsn: str,
    replica_dsn: str,
    *,
    epoch_floor: EpochFloor,
    read_connections_max: int = 2,
    fallback_connections_max: int = 2,
    list_connections_max: int = 4,
    limits: ReplicaLimits | None = None,
) -> AsyncGenerator[ReplicaReads]:
    """Readers over a replica, with their own small pools of the primary.

    Args:
        primary_dsn: where writes commit.
        replica_dsn: where the projector folds.
        epoch_floor: the epoch that the primary is known to have for a tenant (0 if unknown).
        read_connections_max: of the replica, for reads of facts.
        fallback_connections_max: of the primary, for what the replica cannot answer.
        list_connections_max: of the replica, for listing facts.
        limits: bounds, the defaults if None.

    Raises:
        UnavailableError: one of the databases does not answer at the start.
    """
    async with (
        open_pool(
            replica_dsn,
            size_max=read_connections_max,
            application_name="grantlog replica reads",
            command_timeout_s=COMMAND_TIMEOUT_S,
            settings=INDEX_PLANS,
        ) as replica_pool,
        open_pool(
            primary_dsn,
            size_max=fallback_connections_max,
            application_name="grantlog fallback reads",
            command_timeout_s=COMMAND_TIMEOUT_S,
            settings=INDEX_PLANS,
        ) as primary_pool,
        open_fact_reader(
            replica_pool, statements_max=read_connections_max, epoch_floor=epoch_floor
        ) as replica,
        open_fact_reader(primary_pool, statements_max=fallback_connections_max) as primary,
        open_fact_lister(
            replica_dsn, size_max=list_connections_max, epoch_floor=epoch_floor
        ) as replica_lister,
        open_fact_lister(primary_dsn, size_max=fallback_connections_max) as primary_lister,
        open_reverse_reader(replica_dsn, epoch_floor=epoch_floor) as replica_reverse,
        open_reverse_reader(primary_dsn, size_max=fallback_connections_max) as primary_reverse,
    ):
        first = ReplicaFirst(replica, limits or ReplicaLimits())
        yield ReplicaReads(
            ReplicaFactReader(first, replica, primary),
            ReplicaFactLister(first, replica_lister, primary_lister),
            ReplicaReverseReader(first, replica_reverse, primary_reverse),
        )
