"""Postgres reads at every revision what the memory store reads, whatever happened before."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grantlog.errors import BehindWindowError
from grantlog.model.ids import Revision, TenantId
from grantlog.ports.facts import AttributeFilter, TupleFilter
from grantlog.testing.contracts.places import Copy, Primary
from tests.contract.memory import memory_primary
from tests.contract.postgres import postgres_primary, postgres_replica
from tests.property.fold_histories import (
    attribute_filters,
    every_key,
    histories,
    live,
    tuple_filters,
)

NewDatabase = Callable[..., Awaitable[str]]
MODEST = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
_tenants = count(1)


@pytest.fixture
async def replica(migrated_database: NewDatabase) -> AsyncIterator[Copy]:
    async with postgres_replica(await migrated_database(seed=False)) as copy:
        yield copy


@pytest.fixture
async def primary(migrated_database: NewDatabase) -> AsyncIterator[Primary]:
    async with postgres_primary(await migrated_database()) as ports:
        yield ports


async def read_all(
    copy: Copy,
    tenant: TenantId,
    at: Revision,
    where: TupleFilter | None = None,
    named: AttributeFilter | None = None,
) -> object:
    """Every answer, a list by filter and the state's digest at a revision."""
    try:
        facts = list(await copy.facts.read(tenant, at, every_key()))
        found = list(await copy.lister.tuples(tenant, at, where or TupleFilter(), limit=50))
        held = list(await copy.lister.attributes(tenant, at, named or AttributeFilter(), limit=50))
        _, digest = await copy.projection.digest(tenant, at)
    except BehindWindowError:
        return BehindWindowError
    return repr(facts), repr(found), repr(held), digest


@MODEST
@given(history=histories, where=tuple_filters, named=attribute_filters, data=st.data())
async def test_a_replica_reads_every_revision_as_the_memory_store_does(
    replica: Copy, history, where, named, data
) -> None:
    tenant = TenantId(f"tenant-{next(_tenants)}")
    memory = memory_primary()
    log = await live(memory, tenant, history)
    if not log:
        return
    cut = data.draw(st.integers(0, len(log)), label="cut")
    for piece in (log[:cut], log[max(0, cut - 2) :]):
        await replica.projection.apply(piece)
    for at in map(Revision, range(len(log) + 1)):
        ours = await read_all(memory, tenant, at, where, named)
        assert await read_all(replica, tenant, at, where, named) == ours
    floor = Revision(data.draw(st.integers(0, len(log)), label="floor"))
    await memory.collect(tenant, floor)
    await replica.collect(tenant, floor)
    for at in map(Revision, range(len(log) + 1)):
        assert await read_all(replica, tenant, at) == await read_all(memory, tenant, at)


@MODEST
@given(history=histories)
async def test_a_primary_on_postgres_lives_a_history_as_the_memory_store_does(
    primary: Primary, replica: Copy, history
) -> None:
    tenant = TenantId(f"tenant-{next(_tenants)}")
    memory = memory_primary()
    expected = await live(memory, tenant, history)
    log = await live(primary, tenant, history)
    assert [type(entry.body) for entry in log] == [type(entry.body) for entry in expected]
    await replica.projection.apply(log)
    for at in map(Revision, range(len(log) + 1)):
        ours = await read_all(memory, tenant, at)
        theirs = await read_all(primary, tenant, at)
        assert await read_all(replica, tenant, at) == theirs
        # Schema versions carry the time of their commit, so digests of states differ.
        assert theirs[:-1] == ours[:-1] if isinstance(ours, tuple) else theirs == ours
