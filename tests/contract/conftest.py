"""Every suite runs on memory and on Postgres."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import pytest

from grantlog.testing.contracts.places import Copy, Primary
from tests.contract import watching
from tests.contract.memory import memory_primary, memory_replica
from tests.contract.postgres import postgres_primary, postgres_replica
from tests.contract.watching import Station

NewDatabase = Callable[..., Awaitable[str]]


@pytest.fixture(params=["memory", "postgres"])
def adapter(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def primary(adapter: str, migrated_database: NewDatabase) -> AsyncIterator[Primary]:
    if adapter == "memory":
        yield memory_primary()
        return
    async with postgres_primary(await migrated_database()) as ports:
        yield ports


@pytest.fixture
async def replica(adapter: str, migrated_database: NewDatabase) -> AsyncIterator[Copy]:
    if adapter == "memory":
        yield memory_replica()
        return
    async with postgres_replica(await migrated_database(seed=False)) as ports:
        yield ports


@pytest.fixture(params=["itself", "service"])
def station(request: pytest.FixtureRequest) -> partial[AbstractAsyncContextManager[Station]]:
    """Watching at a node that follows the log itself, and at one that relays a watch service."""
    return partial(watching.station, relayed=request.param == "service")
