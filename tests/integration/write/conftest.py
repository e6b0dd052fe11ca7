"""A primary with its writer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from grantlog.store.postgres.pool import Pool
from grantlog.store.postgres.primary import open_primary_pool
from grantlog.store.postgres.writer import PostgresWriter, open_writer


@dataclass
class Place:
    dsn: str
    pool: Pool
    writer: PostgresWriter


@pytest.fixture
async def place(migrated_database: Callable[..., Awaitable[str]]) -> AsyncIterator[Place]:
    dsn = await migrated_database()
    async with (
        open_primary_pool(dsn, size_max=6, application_name="test") as pool,
        open_writer(pool) as writer,
    ):
        yield Place(dsn, pool, writer)
