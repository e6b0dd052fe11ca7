"""Where ports meet their adapters: the jobs of the follower process."""

from __future__ import annotations

import asyncio
from functools import partial

from grantlog.background import background_tasks
from grantlog.runtime.supervise import Job
from grantlog.store.postgres.collect import collect_window
from grantlog.store.postgres.connecting import THE_PRIMARY
from grantlog.store.postgres.epoch import refuse_replica
from grantlog.store.postgres.followers import MAINTENANCE, Role, beat, keep_role
from grantlog.store.postgres.pool import INDEX_PLANS, open_pool
from grantlog.store.postgres.purge import purge_dead_lives
from grantlog_projector.replica import keep_projecting
from grantlog_projector.settings import ProjectorSettings
from grantlog_projector.upkeep import CONNECTIONS_MAX, repeat, require_version


def jobs(settings: ProjectorSettings, stop: asyncio.Event) -> dict[str, Job]:
    """What this process does: maintenance of the primary, and the replica's projector if any."""
    dsn = settings.database_url.get_secret_value()
    found: dict[str, Job] = {
        "maintenance": lambda: keep_role(dsn, Role.MAINTENANCE, partial(_maintain, settings), stop)
    }
    if settings.kafka_bootstrap and settings.kafka_publish:
        found["publisher"] = lambda: _publish(settings, stop)
    replica = settings.replica_dsn
    if replica is not None:
        found["projector"] = lambda: keep_projecting(settings, replica, stop)
    return found


async def _maintain(settings: ProjectorSettings, until: asyncio.Event) -> None:
    """Beat, purge dead lives and collect history in the primary."""
    dsn = settings.database_url.get_secret_value()
    async with open_pool(
        dsn,
        size_max=CONNECTIONS_MAX,
        application_name="grantlog maintenance",
        settings=INDEX_PLANS,
        on_connect=refuse_replica,
        whose=THE_PRIMARY,
    ) as pool:
        await require_version(pool)

        async def keep_up() -> None:
            await purge_dead_lives(pool)
            if settings.history_window is not None:
                await collect_window(pool, settings.history_window)

        async with background_tasks() as group:
            upkeep = group.create_task(
                repeat("upkeep", keep_up, settings.upkeep_s, until), name="upkeep"
            )
            try:
                await repeat(
                    "beat", lambda: beat(pool, MAINTENANCE, MAINTENANCE), settings.beat_s, until
                )
            finally:
                upkeep.cancel()


async def _publish(settings: ProjectorSettings, until: asyncio.Event) -> None:
    from grantlog.runtime.kafka import publish  # noqa: PLC0415 - its client takes time to load

    await publish(settings.database_url.get_secret_value(), settings, until)
