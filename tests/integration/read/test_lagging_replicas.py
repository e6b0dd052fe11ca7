"""Several replicas, each somewhere else behind: every answer is the oracle's at exactly t."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from grantlog.app.terms import Consistency, Terms
from grantlog.model.change import Transaction
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.model.token import SnapToken, encode_token
from grantlog.store.postgres.replica_first import ReplicaLimits
from grantlog.store.postgres.replica_reads import open_replica_reads
from grantlog.testing.contracts.places import Copy, Primary
from tests.contract.postgres import postgres_primary, postgres_replica
from tests.contract.replicas import following
from tests.property.pasts import SOME, Act, Calls, Stood, agree, lived, moments, pasts
from tests.standbys import Standby, shared_standby, streamed_database, streaming_server

__all__ = ["shared_standby", "streamed_database", "streaming_server"]

NewDatabase = Callable[..., Awaitable[str]]
# What fails here and not in memory is read, not shrunk: each step writes to a database.
FEW = settings(
    max_examples=8,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
AT_ONCE = ReplicaLimits(wait_s_max=0.0, rest_s=0.0, probe_timeout_s=60.0)
_tenants = count(1)


class PausingWriter:
    """A primary's writer; the standby stops replaying before one of the writes."""

    def __init__(self, writer: Any, standby: Standby, dsn: str) -> None:
        self.inner = writer
        self.pause_in = 0
        self._standby = standby
        self._dsn = dsn

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def write(*what: Any, **how: Any) -> Any:
            if not self.pause_in:
                await self._standby.catch_up(self._dsn)
                await self._standby.pause()
            self.pause_in -= 1
            return await getattr(self.inner, name)(*what, **how)

        return write


@dataclass
class World:
    """A primary, its standby and two projected replicas, and what a node reads them with."""

    primary: Primary
    standby: Standby
    projected: list[Copy]
    calls: Calls
    writer: PausingWriter


@pytest.fixture
async def at(streamed_database: NewDatabase, shared_standby: Standby) -> AsyncIterator[World]:
    dsn = await streamed_database()
    first, second = [await streamed_database(seed=False) for _ in range(2)]
    standby = shared_standby
    await standby.catch_up(dsn)
    async with (
        postgres_primary(dsn) as primary,
        postgres_replica(first) as one,
        postgres_replica(second) as two,
        following(dsn, first),
        following(dsn, second),
        open_replica_reads(
            dsn,
            [standby.dsn(dsn), first, second],
            limits=AT_ONCE,
        ) as opened,
    ):
        assert all(state.is_in for state in opened.states), [s.out_because for s in opened.states]
        primary.writer = writer = PausingWriter(primary.writer, standby, dsn)
        calls = Calls(primary, *opened.reads)
        yield World(primary, standby, [one, two], calls, writer)


def terms_of(data: st.DataObject, tenant: TenantId, log: list[Stood]) -> list[tuple[Terms, Stood]]:
    """As of some revisions, at the head, and with tokens of any, which the node answers there."""
    asked = moments(data, log)
    for stood in data.draw(st.lists(st.sampled_from(log), max_size=3), label="tokens"):
        token = encode_token(tenant, SnapToken(Epoch(1), stood.revision))
        asked.append((Terms(snap_token=token), log[-1]))
    asked.append((Terms(consistency=Consistency.HEAD), log[-1]))
    return data.draw(st.permutations(asked))


@FEW
@given(pasts(), SOME, st.data())
async def test_wherever_replicas_are_every_answer_is_that_of_its_revision(
    at: World, acts: list[Act], some, data
) -> None:
    tenant = TenantId(f"tenant-{next(_tenants)}")
    at.writer.pause_in = data.draw(st.integers(0, len(acts)), label="writes before the pause")
    try:
        history = await lived(at.primary, tenant, acts)
        log: list[Transaction] = list(await at.primary.history(tenant))
        for terms, stood in terms_of(data, tenant, history):
            await advance(data, tenant, at.projected, log)
            await agree(at.calls, tenant, terms, stood, some)
    finally:
        await at.standby.resume()


async def advance(
    data: st.DataObject, tenant: TenantId, replicas: list[Copy], log: list[Transaction]
) -> None:
    """Let each replica fold a few transactions more, and forget some history."""
    for replica in replicas:
        at = (await replica.projection.positions()).get(tenant)
        reached = at.revision if at else 0
        more = data.draw(st.integers(0, max(1, len(log) // 3)), label="folded")
        await replica.projection.apply(log[reached : reached + more])
        reached = min(len(log), reached + more)
        if reached and data.draw(st.booleans(), label="collects"):
            floor = data.draw(st.integers(0, reached), label="oldest revision")
            await replica.collect(tenant, Revision(floor))
