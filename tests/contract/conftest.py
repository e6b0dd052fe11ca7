"""Every suite runs on memory and on Postgres."""

from __future__ import annotations

import pytest

from grantlog.testing.contracts.places import Copy, Primary
from tests.contract.memory import memory_primary, memory_replica


@pytest.fixture(params=["memory"])
def adapter(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def primary(adapter: str) -> Primary:
    return memory_primary()


@pytest.fixture
async def replica(adapter: str) -> Copy:
    return memory_replica()
