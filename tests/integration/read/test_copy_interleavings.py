"""The copy's law on Postgres: tests/property/test_copying.py has it in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grantlog.model.ids import TenantId
from grantlog.testing.contracts.places import Copy, Primary
from tests.contract.postgres import postgres_primary, postgres_replica
from tests.property.copy_play import STEPS, play

NewDatabase = Callable[..., Awaitable[str]]

_tenants = count(1)


@pytest.fixture
async def primary(migrated_database: NewDatabase) -> AsyncIterator[Primary]:
    async with postgres_primary(await migrated_database()) as ports:
        yield ports


@pytest.fixture
async def replica(migrated_database: NewDatabase) -> AsyncIterator[Copy]:
    async with postgres_replica(await migrated_database(seed=False)) as ports:
        yield ports


@settings(
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS, rows_max=st.sampled_from([1, 2, 4]))
async def test_whatever_happens_a_copied_replica_ends_as_a_folded_one(
    primary: Primary, replica: Copy, steps, rows_max
) -> None:
    tenant = TenantId(f"tenant-{next(_tenants)}")
    await play(primary, replica, tenant, rows_max, steps)
