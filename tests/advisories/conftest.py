"""One node in this process for a module, and the service in each way it can run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.advisories.node import Node, open_node
from tests.servers import server

__all__ = ["server"]


@pytest.fixture
async def node(migrated_database: Callable[..., Awaitable[str]]) -> AsyncIterator[Node]:
    """A node over a database of its own."""
    async with open_node(await migrated_database()) as opened:
        yield opened
