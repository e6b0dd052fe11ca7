"""A shared database, read in both ways."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.integration.tenancy.shared import NewDatabase, Shared, two_nodes


@pytest.fixture(params=["primary", "replica"])
async def shared(
    request: pytest.FixtureRequest, migrated_database: NewDatabase
) -> AsyncIterator[Shared]:
    async with two_nodes(migrated_database, replica=request.param == "replica") as nodes:
        yield nodes
