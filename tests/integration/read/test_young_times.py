"""As of a time at which a tenant's first write may have been committed, and is not yet seen."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable

import asyncpg

from grantlog.model.ids import TenantId
from grantlog.store.postgres.past import PostgresPast
from grantlog.store.postgres.primary import open_primary_pool
from grantlog.store.postgres.writer.intents import SchemaIntent
from grantlog.store.postgres.writer.limits import WriterLimits
from grantlog.store.postgres.writer.preparing import lock_head, prepare
from tests.waiting import until

NEW = TenantId("new")


async def test_a_first_write_under_way_is_waited_for(
    migrated_database: Callable[[], Awaitable[str]],
) -> None:
    url = await migrated_database()
    watcher = await asyncpg.connect(url)
    async with (
        open_primary_pool(url, size_max=2, application_name="test") as pool,
        asyncio.TaskGroup() as group,
        pool.acquire() as writer,
    ):
        transaction = writer.transaction()
        await transaction.start()
        head = await lock_head(writer, NEW, secrets.token_bytes)
        intent = SchemaIntent(NEW, "entity user {}", None, secrets.token_bytes(16))
        await prepare(writer, head, [intent], WriterLimits())
        now = await watcher.fetchval("SELECT clock_timestamp()")
        asked = group.create_task(PostgresPast(pool).at_time(NEW, now))

        async def waits() -> bool:
            locks = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            return asked.done() or await watcher.fetchval(locks) > 0

        await until(waits)
        await transaction.commit()
        assert (await asked).revision == 1
    await watcher.close()
