"""As of the past on Postgres: the primary's own tables, and a replica that lags and forgets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from grantlog.model.ids import Revision, TenantId
from grantlog.store.postgres.replica_first import ReplicaFirst, ReplicaLimits
from grantlog.store.postgres.replica_reads import ReplicaFactLister, ReplicaFactReader
from grantlog.store.postgres.replica_reverse import ReplicaReverseReader
from grantlog.store.postgres.replica_state import Reads
from grantlog.testing.contracts.places import Copy, Primary
from tests.contract.postgres import postgres_primary, postgres_replica
from tests.property.pasts import SOME, Act, Calls, agree, lived, moments, pasts
from tests.unit.read.copies import copy_of

NewDatabase = Callable[..., Awaitable[str]]
# What fails here and not in memory is read, not shrunk: each step writes to a database.
MODEST = settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
QUICK = ReplicaLimits(wait_s_max=0.0, poll_s=0.0)
_tenants = count(1)


@pytest.fixture
async def primary(migrated_database: NewDatabase) -> AsyncIterator[Primary]:
    async with postgres_primary(await migrated_database()) as ports:
        yield ports


@pytest.fixture
async def replica(migrated_database: NewDatabase) -> AsyncIterator[Copy]:
    async with postgres_replica(await migrated_database(seed=False)) as copy:
        yield copy


def reads(copy: Copy) -> Reads:
    return Reads(copy.facts, copy.lister, copy.reverse)


@MODEST
@given(pasts(), SOME, st.data())
async def test_every_reading_call_answers_on_the_primary_as_the_oracle_on_what_held_then(
    primary: Primary, acts: list[Act], some, data
) -> None:
    tenant = TenantId(f"tenant-{next(_tenants)}")
    history = await lived(primary, tenant, acts)
    calls = Calls(primary, primary.facts, primary.lister, primary.reverse)
    for terms, stood in moments(data, history):
        await agree(calls, tenant, terms, stood, some)


@MODEST
@given(pasts(), SOME, st.data())
async def test_a_replica_answers_for_what_it_holds_and_the_primary_for_the_rest(
    primary: Primary, replica: Copy, acts: list[Act], some, data
) -> None:
    tenant = TenantId(f"tenant-{next(_tenants)}")
    history = await lived(primary, tenant, acts)
    reached = data.draw(st.integers(0, len(history) - 1), label="the replica's revision")
    await replica.projection.apply((await primary.history(tenant))[:reached])
    if reached:
        floor = data.draw(st.integers(0, reached), label="the replica's oldest revision")
        await replica.collect(tenant, Revision(floor))
    first = ReplicaFirst([copy_of(reads(replica))], reads(primary), QUICK)
    calls = Calls(
        primary,
        ReplicaFactReader(first),
        ReplicaFactLister(first),
        ReplicaReverseReader(first),
    )
    for terms, stood in moments(data, history):
        await agree(calls, tenant, terms, stood, some)
