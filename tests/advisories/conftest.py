"""One node in this process for a module, and the service in each way it can run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.advisories.doors import Door, both_doors
from tests.advisories.node import Node, open_node
from tests.servers import Server, server

__all__ = ["server"]


@pytest.fixture
async def node(migrated_database: Callable[..., Awaitable[str]]) -> AsyncIterator[Node]:
    """A node over a database of its own."""
    async with open_node(await migrated_database()) as opened:
        yield opened


@pytest.fixture
async def doors(server: Server) -> AsyncIterator[tuple[Door, ...]]:
    """Both doors of the running service."""
    async with both_doors(server.rest, server.grpc) as opened:
        yield opened
