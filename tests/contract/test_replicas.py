"""The readers' suites over a standby, and over one beside a projected replica."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from grantlog.testing.contracts.places import Primary
from grantlog.testing.contracts.reading import ListerContract, ReaderContract
from grantlog.testing.contracts.reversing import ReverseContract
from tests.contract.replicas import read_from_replicas
from tests.standbys import (
    Standby,
    emptied,
    shared_databases,
    shared_standby,
    streaming_server,
)

__all__ = ["shared_databases", "shared_standby", "streaming_server"]


@pytest.fixture(params=["standby", "side by side"])
async def primary(
    request: pytest.FixtureRequest,
    shared_standby: Standby,
    shared_databases: tuple[str, str],
) -> AsyncIterator[Primary]:
    for database in shared_databases:
        await emptied(database)
    dsn, projected = shared_databases
    await shared_standby.catch_up(dsn)
    replica = projected if request.param == "side by side" else None
    async with read_from_replicas(dsn, standby=shared_standby, projected=replica) as ports:
        yield ports


class TestReader(ReaderContract):
    pass


class TestLister(ListerContract):
    pass


class TestReverse(ReverseContract):
    pass
