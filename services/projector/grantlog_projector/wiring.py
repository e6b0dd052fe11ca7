"""Where ports meet their adapters: the jobs of the follower process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import orjson
import structlog

from grantlog.app.project import FollowLimits, FollowStatus, Projector
from grantlog.changelog.postgres.log import open_change_log
from grantlog.errors import GrantlogError, PreconditionError
from grantlog.ports.log import ChangeLog
from grantlog.runtime.supervise import Job
from grantlog.store.postgres.background import background_tasks
from grantlog.store.postgres.collect import collect_window, copy_floors
from grantlog.store.postgres.followers import Role, beat, keep_role, pause
from grantlog.store.postgres.lives import follow_life
from grantlog.store.postgres.migrate import check_schema_range
from grantlog.store.postgres.pool import INDEX_PLANS, Pool, acquired, open_pool
from grantlog.store.postgres.projection import PROJECTING, PostgresProjection
from grantlog.store.postgres.purge import purge_dead_lives
from grantlog_projector.settings import ProjectorSettings
from grantlog_projector.witness import ReplicaWitness

_LOG = structlog.get_logger("grantlog.projector")
_CONNECTIONS_MAX: Final = 3
_STOPPED_SHOWN_MAX: Final = 20
_FOREIGN_S: Final = 2.0
"""Between looks at a replica that holds another log."""


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
        work = partial(_project, settings, replica)
        found["projector"] = lambda: keep_role(replica, Role.PROJECTOR, work, stop)
    return found


async def _maintain(settings: ProjectorSettings, until: asyncio.Event) -> None:
    """Beat, purge dead lives and collect history in the primary."""
    dsn = settings.database_url.get_secret_value()
    async with open_pool(
        dsn,
        size_max=_CONNECTIONS_MAX,
        application_name="grantlog maintenance",
        settings=INDEX_PLANS,
    ) as pool:
        await _check(pool)

        async def keep_up() -> None:
            await purge_dead_lives(pool)
            if settings.history_window is not None:
                await collect_window(pool, settings.history_window)

        async with background_tasks() as group:
            upkeep = group.create_task(
                _repeat("upkeep", keep_up, settings.upkeep_s, until), name="upkeep"
            )
            try:
                await _repeat(
                    "beat", lambda: beat(pool, "maintenance", "maintenance"), settings.beat_s, until
                )
            finally:
                upkeep.cancel()


async def _project(settings: ProjectorSettings, replica_dsn: str, until: asyncio.Event) -> None:
    """Follow the log into the replica, beat for it in the primary, and keep it tidy."""
    dsn = settings.database_url.get_secret_value()
    limits = FollowLimits(changes_max=settings.changes_per_slice_max)
    witness = ReplicaWitness()
    async with (
        open_pool(
            dsn,
            size_max=_CONNECTIONS_MAX,
            application_name="grantlog projector",
            settings=INDEX_PLANS,
            on_connect=witness.proof.prove,
        ) as primary,
        open_pool(
            replica_dsn,
            size_max=_CONNECTIONS_MAX,
            application_name="grantlog projector",
            settings=PROJECTING,
        ) as replica,
        _open_log(settings, primary) as log,
    ):
        await _check(primary)
        await _check(replica)
        store = PostgresProjection(replica)
        await store.require_replica()
        if not await _ours(primary, replica, until):
            return
        projector = Projector(log, store, limits)
        await projector.start()
        witness.stand_at(lambda: projector.positions)
        await witness.proof.look(primary)

        async def tell() -> None:
            at = projector.status
            await follow_life(primary, replica)
            await beat(
                primary,
                settings.replica_name,
                "replica",
                through=at.applied_through,
                detail=_detail(at),
            )

        async def keep_up() -> None:
            await purge_dead_lives(replica)
            await copy_floors(primary, replica)

        async with background_tasks() as group:
            beats = group.create_task(_repeat("beat", tell, settings.beat_s, until), name="beats")
            upkeep = group.create_task(
                _repeat("upkeep", keep_up, settings.upkeep_s, until), name="upkeep"
            )
            try:
                await projector.run(until)
            finally:
                beats.cancel()
                upkeep.cancel()


@asynccontextmanager
async def _open_log(settings: ProjectorSettings, pool: Pool) -> AsyncGenerator[ChangeLog]:
    """The log that the replica follows: on Kafka where that is configured."""
    dsn = settings.database_url.get_secret_value()
    async with open_change_log(pool, listen_dsn=dsn) as primary:
        if not settings.kafka_bootstrap:
            yield primary
            return
        from grantlog.runtime.kafka import open_log  # noqa: PLC0415 - its client takes time to load

        async with open_log(settings, pool, primary) as log:
            yield log


async def _publish(settings: ProjectorSettings, until: asyncio.Event) -> None:
    from grantlog.runtime.kafka import publish  # noqa: PLC0415 - as above

    await publish(settings.database_url.get_secret_value(), settings, until)


async def _ours(primary: Pool, replica: Pool, until: asyncio.Event) -> bool:
    """Wait until the replica is empty or of this primary's log; False if `until` comes first.

    The process stays: others of its jobs go on, and a rebuild needs no restart.
    """
    told = ""
    while not until.is_set():
        try:
            await follow_life(primary, replica)
        except PreconditionError as error:
            if error.explanation != told:
                _LOG.error("not projecting", because=error.explanation)
            told = error.explanation
            await pause(_FOREIGN_S, until)
        else:
            return True
    return False


async def _check(pool: Pool) -> None:
    async with acquired(pool, doing="reading the database's version") as connection:
        await check_schema_range(connection)


async def _repeat(
    what: str, step: Callable[[], Awaitable[object]], every_s: float, until: asyncio.Event
) -> None:
    """Do a step again and again; what fails is told and tried again: the follower goes on."""
    while not until.is_set():
        try:
            await step()
        except GrantlogError as error:
            tell = _LOG.warning if error.retriable else _LOG.error
            tell("not done, trying again", step=what, because=error.explanation)
        await pause(every_s, until)


def _detail(status: FollowStatus) -> str:
    """A follower's state as JSON, for people: `grantlog projector status` shows it."""
    stopped = dict(list(status.stopped.items())[:_STOPPED_SHOWN_MAX])
    detail = {"behind": status.behind, "stopped": len(status.stopped), "reasons": stopped}
    return orjson.dumps(detail).decode()
