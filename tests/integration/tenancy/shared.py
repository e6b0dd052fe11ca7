"""Two nodes over one database, with or without a replica that follows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from grantlog_api.settings import ApiSettings
from grantlog_api.wiring import open_api
from structlog.testing import capture_logs

from grantlog.app.project import FollowLimits, Projector
from grantlog.changelog.postgres.log import open_change_log
from grantlog.serving.calls import Calls
from grantlog.store.postgres.pool import INDEX_PLANS, Pool, open_pool
from grantlog.store.postgres.projection import PROJECTING, PostgresProjection
from grantlog.store.postgres.purge import purge_dead_lives

NewDatabase = Callable[..., Awaitable[str]]


@dataclass
class Shared:
    """Two nodes over one database for all tenants."""

    nodes: list[Calls]
    pools: list[Pool]

    async def purge(self) -> None:
        """Purge a few rows at a time, so that statements meet half of what there was."""
        for pool in self.pools:
            await purge_dead_lives(pool, rows_max=3)


@asynccontextmanager
async def two_nodes(migrated_database: NewDatabase, *, replica: bool) -> AsyncIterator[Shared]:
    """Nodes for the block; their logs are kept and forgotten."""
    primary = await migrated_database()
    copy = await migrated_database(seed=False) if replica else None
    async with AsyncExitStack() as stack:
        stack.enter_context(capture_logs())

        async def opened(dsn: str, **pool: Any) -> Pool:
            manager = open_pool(dsn, size_max=2, application_name="test", **pool)
            return await stack.enter_async_context(manager)

        pools = [await opened(primary, settings=INDEX_PLANS)]
        stop = asyncio.Event()
        group = await stack.enter_async_context(asyncio.TaskGroup())
        projector = None
        if copy:
            pools.append(await opened(copy, settings=PROJECTING))
            log = await stack.enter_async_context(open_change_log(pools[0], listen_dsn=primary))
            limits = FollowLimits(poll_s=0.01)
            projector = Projector(log, PostgresProjection(pools[1]), limits)
            group.create_task(projector.run(stop))
        of_api = ApiSettings(database_url=primary, replica_url=copy, watch_heartbeat_s=0.01)
        nodes = [await stack.enter_async_context(open_api(of_api)) for _ in range(2)]
        yield Shared([node.calls for node in nodes], pools)
        stop.set()
        assert projector is None or projector.status.stopped == {}
