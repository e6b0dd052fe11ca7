"""Reading a replica that may lag or be dead: wait a little, then ask the primary, never guess.

A replica answers for exactly the revision asked for or refuses. What it refuses waits for it up to
a bound, then goes to the primary through a few connections of its own; when those are busy, it is
shed: a dead replica must not take the writers down with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from grantlog.errors import ProjectionLaggingError, UnavailableError
from grantlog.model.attributes import Attribute
from grantlog.model.ids import Revision, TenantId
from grantlog.model.tuples import RelationTuple
from grantlog.ports.facts import AttributeFilter, FactAnswer, FactKey, FactReader, TupleFilter
from grantlog.ports.listing import FactLister
from grantlog.store.postgres.guard import EpochFloor
from grantlog.store.postgres.lister import open_fact_lister
from grantlog.store.postgres.pool import INDEX_PLANS, open_pool
from grantlog.store.postgres.reader import open_fact_reader

T = TypeVar("T")

COMMAND_TIMEOUT_S: Final = 3.0
"""A statement of a few milliseconds that takes so long: that database is not well."""


@dataclass(frozen=True, slots=True)
class ReplicaLimits:
    """The bounds of waiting for a replica and of asking the primary in its place."""

    wait_s_max: float = 0.5
    poll_s: float = 0.01
    dead_for_s: float = 1.0
    """After a failure the replica is left alone for so long, but for one call that tries it."""
    primary_calls_max: int = 256
    """Calls that may wait for the primary at once; more are shed."""


class ReplicaFirst:
    """Decides, call by call, whether the replica or the primary answers."""

    def __init__(self, replica: FactReader, limits: ReplicaLimits) -> None:
        self._replica = replica
        self._limits = limits
        self._dead_until = 0.0
        self._on_primary = 0

    async def answer(
        self,
        tenant: TenantId,
        revision: Revision,
        *,
        replica: Callable[[], Awaitable[T]],
        primary: Callable[[], Awaitable[T]],
    ) -> T:
        """The answer of whichever copy can read the revision.

        Raises:
            ProjectionLaggingError: the replica is behind, and the primary has enough to do.
            UnavailableError: neither answers.
            BehindWindowError: no copy has that history any more.
        """
        if not self._may_try():
            return await self._by_primary(primary)
        try:
            try:
                answer = await replica()
            except ProjectionLaggingError:
                await self._reached(tenant, revision)
                answer = await replica()
        except ProjectionLaggingError:
            return await self._by_primary(primary)
        except UnavailableError:
            self._dead_until = self._now() + self._limits.dead_for_s
            return await self._by_primary(primary)
        self._dead_until = 0.0
        return answer

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _may_try(self) -> bool:
        """Whether the replica is asked: it is well, or this call is the one that tries it again."""
        if not self._dead_until:
            return True
        now = self._now()
        if now < self._dead_until:
            return False
        self._dead_until = now + self._limits.dead_for_s
        return True

    async def _reached(self, tenant: TenantId, revision: Revision) -> None:
        """Return when the replica can read the revision; the asking is shared, as all reads are.

        Raises:
            ProjectionLaggingError: it cannot, within the wait.
        """
        until = self._now() + self._limits.wait_s_max
        while True:
            await asyncio.sleep(self._limits.poll_s)
            try:
                await self._replica.read(tenant, revision, ())
            except ProjectionLaggingError:
                if self._now() >= until:
                    raise
            else:
                return

    async def _by_primary(self, primary: Callable[[], Awaitable[T]]) -> T:
        if self._on_primary >= self._limits.primary_calls_max:
            raise ProjectionLaggingError(
                "the replica cannot answer yet and the primary has enough to do: try again"
            )
        self._on_primary += 1
        try:
            return await primary()
        except UnavailableError as error:
            raise UnavailableError(
                "neither the replica nor the primary can answer: " + error.explanation
            ) from error
        finally:
            self._on_primary -= 1


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
) -> AsyncGenerator[tuple[ReplicaFactReader, ReplicaFactLister]]:
    """A reader and a lister over a replica, with their own small pools of the primary.

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
    ):
        first = ReplicaFirst(replica, limits or ReplicaLimits())
        yield (
            ReplicaFactReader(first, replica, primary),
            ReplicaFactLister(first, replica_lister, primary_lister),
        )
