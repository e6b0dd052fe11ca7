"""A primary whose facts are read from its replicas, each question once these have arrived."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from grantlog.model.ids import Revision, TenantId
from grantlog.ports.log import NOWHERE
from grantlog.ports.standing import Source, follow_standing
from grantlog.store.postgres.collect import copy_floors
from grantlog.store.postgres.lives import follow_life
from grantlog.store.postgres.pool import INDEX_PLANS, open_pool
from grantlog.store.postgres.projection import PROJECTING, PostgresProjection
from grantlog.store.postgres.replica_first import ReplicaLimits
from grantlog.store.postgres.replica_reads import open_replica_reads
from grantlog.testing.contracts.places import CHANGES_MAX, Primary
from tests.contract.postgres import postgres_primary
from tests.standbys import Standby

AT_ONCE = ReplicaLimits(wait_s_max=0.0, probe_timeout_s=60.0)
Arrive = Callable[[], Awaitable[None]]


class Settled:
    """A reader that is asked when the replicas have arrived; a replica must be who answers."""

    def __init__(self, reader: Any, arrive: Sequence[Arrive]) -> None:
        self._reader = reader
        self._arrive = arrive

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def ask(*where: Any, **how: Any) -> Any:
            for arrive in self._arrive:
                await arrive()
            standing = follow_standing()
            answer = await getattr(self._reader, name)(*where, **how)
            assert standing.source is Source.REPLICA or not where[-1], (name, where)
            return answer

        return ask


@asynccontextmanager
async def read_from_replicas(
    dsn: str, *, standby: Standby | None = None, projected: str | None = None
) -> AsyncIterator[Primary]:
    """The ports of a primary; facts are read from a standby, from a projected replica, or both."""
    async with AsyncExitStack() as stack:
        primary = await stack.enter_async_context(postgres_primary(dsn))
        arrive: list[Arrive] = []
        collects = [primary.collect]
        if standby is not None:
            arrive.append(_replaying(standby, dsn))
        if projected is not None:
            fold, collect = await stack.enter_async_context(_folding(primary, dsn, projected))
            arrive.append(fold)
            collects.append(collect)
            await fold()
        dsns = ([standby.dsn(dsn)] if standby else []) + ([projected] if projected else [])
        opened = await stack.enter_async_context(
            open_replica_reads(
                dsn,
                dsns,
                limits=AT_ONCE,
            )
        )
        assert all(state.is_in for state in opened.states), [s.out_because for s in opened.states]

        async def collect_all(tenant: TenantId, floor: Revision) -> None:
            for collect in collects:
                await collect(tenant, floor)

        primary.collect = collect_all
        primary.facts = Settled(opened.reads.facts, arrive)
        primary.lister = Settled(opened.reads.lister, arrive)
        primary.reverse = Settled(opened.reads.reverse, arrive)
        yield primary


@asynccontextmanager
async def following(dsn: str, replica: str) -> AsyncIterator[None]:
    """A database that is marked as a projection of a primary's log; the test folds."""
    async with (
        open_pool(dsn, size_max=1, application_name="test", settings=INDEX_PLANS) as source,
        open_pool(replica, size_max=1, application_name="test", settings=PROJECTING) as pool,
    ):
        await follow_life(source, pool)
    yield


def _replaying(standby: Standby, dsn: str) -> Arrive:
    async def arrive() -> None:
        await standby.catch_up(dsn)

    return arrive


@asynccontextmanager
async def _folding(
    primary: Primary, dsn: str, replica: str
) -> AsyncIterator[tuple[Arrive, Callable[[TenantId, Revision], Awaitable[None]]]]:
    async with (
        open_pool(dsn, size_max=2, application_name="test", settings=INDEX_PLANS) as source,
        open_pool(replica, size_max=2, application_name="test", settings=PROJECTING) as pool,
    ):
        store = PostgresProjection(pool)
        await follow_life(source, pool)

        async def fold() -> None:
            at = await store.positions()
            for tenant, head in (await primary.log.heads_moved(None)).heads.items():
                reached = at.get(tenant, NOWHERE).revision
                while reached < head.revision:
                    page = await primary.log.read(tenant, after=reached, changes_max=CHANGES_MAX)
                    await store.apply(page)
                    reached = page[-1].revision
                await store.adopt_epoch(tenant, head)

        async def collect(tenant: TenantId, floor: Revision) -> None:
            del tenant, floor
            await fold()
            await copy_floors(source, pool)

        yield fold, collect
