"""A replica that follows a stage's topic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from grantlog.app.project import FollowLimits, Projector
from grantlog.changelog.kafka.log import KafkaChangeLog, open_kafka_change_log
from grantlog.changelog.postgres.log import open_change_log
from grantlog.model.ids import TenantId
from grantlog.store.postgres.pool import INDEX_PLANS, open_pool
from grantlog.testing.contracts.places import ACME, Copy
from tests.contract.postgres import postgres_replica
from tests.integration.kafka.conftest import Stage
from tests.waiting import until

WARM = TenantId("warm")
WRITES_MAX = 50
QUICK = FollowLimits(changes_max=50, poll_s=0.02, backoff_s_min=0.01, look_again_s=0.05)


@dataclass
class Follower:
    """A replica, the log it follows, and who folds."""

    log: KafkaChangeLog
    replica: Copy
    projector: Projector
    stage: Stage

    async def equal(self, tenant: TenantId = ACME) -> bool:
        ours = await self.stage.primary.projection.digest(tenant)
        return ours == await self.replica.projection.digest(tenant)

    async def warm(self) -> None:
        """Return when it reads from the topic."""
        await until(lambda: self.log.lively)
        for number in range(WRITES_MAX):
            await self.stage.primary.put(f"doc:{number}#viewer@user:1", tenant=WARM)
            await self.reach(WARM)
            if self.log.counters.read_here:
                return  # what is written while it takes its place is read in the primary
        raise AssertionError("everything was read in the primary")

    async def reach(self, *tenants: TenantId, within_s: float = 20.0) -> None:
        """Return when the replica holds what the primary holds."""
        for tenant in tenants or (ACME,):
            await until(lambda tenant=tenant: self.equal(tenant), within_s=within_s)


@asynccontextmanager
async def following(stage: Stage, dsn: str) -> AsyncIterator[Follower]:
    """A follower that runs for the block, on a replica in the database `dsn`."""
    stop = asyncio.Event()
    async with (
        open_pool(stage.dsn, size_max=4, application_name="test", settings=INDEX_PLANS) as pool,
        open_change_log(pool, listen_dsn=stage.dsn) as archive,
        open_kafka_change_log(stage.options, stage.spec, pool, archive) as log,
        postgres_replica(dsn) as replica,
        asyncio.TaskGroup() as group,
    ):
        projector = Projector(log, replica.projection, QUICK)
        group.create_task(projector.run(stop))
        try:
            yield Follower(log, replica, projector, stage)
        finally:
            stop.set()
