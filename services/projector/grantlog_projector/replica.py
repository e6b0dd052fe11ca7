"""The job that keeps a replica at the head of the log."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import orjson
import structlog

from grantlog.app.copying import Copier
from grantlog.app.project import FollowLimits, FollowStatus, Projector
from grantlog.background import background_tasks
from grantlog.changelog.postgres.log import THROUGH_EVERY_S, open_change_log
from grantlog.errors import PreconditionError
from grantlog.ports.log import ChangeLog
from grantlog.store.postgres.collect import copy_floors
from grantlog.store.postgres.connecting import THE_PRIMARY, THE_REPLICA
from grantlog.store.postgres.copy_source import PostgresCopySource
from grantlog.store.postgres.copy_target import PostgresCopyTarget
from grantlog.store.postgres.followers import Role, keep_role
from grantlog.store.postgres.lives import follow_life
from grantlog.store.postgres.pool import INDEX_PLANS, Pool, open_pool
from grantlog.store.postgres.projection import PROJECTING, PostgresProjection
from grantlog.store.postgres.purge import purge_dead_lives
from grantlog.store.postgres.registration import NameTakenError, Registration, instance_of
from grantlog.waiting import set_within
from grantlog_projector.settings import ProjectorSettings
from grantlog_projector.upkeep import CONNECTIONS_MAX, repeat, require_version
from grantlog_projector.witness import ReplicaWitness

_LOG: Final = structlog.get_logger("grantlog.projector")
_STOPPED_SHOWN_MAX: Final = 20
_PROGRESS_S: Final = 10.0
_UNUSABLE_S: Final = 2.0
"""Between tries of a replica that is not migrated, somebody's primary, of another log, or refuses
us."""


async def keep_projecting(
    settings: ProjectorSettings, replica_dsn: str, stop: asyncio.Event
) -> None:
    """Have the replica's role and project whenever that can be done, until `stop`.

    A replica that cannot be used is told once and tried again: what else this process does, and
    the checks that the primary answers meanwhile, do not depend on it.

    Raises:
        NameTakenError: another replica has the name; only other settings help.
    """
    told = ""
    while not stop.is_set():
        try:
            work = partial(project, settings, replica_dsn)
            await keep_role(replica_dsn, Role.PROJECTOR, work, stop)
        except NameTakenError:
            raise
        except PreconditionError as error:
            if error.explanation != told:
                _LOG.error("not projecting, trying again", because=error.explanation)
            told = error.explanation
            await set_within(stop, _UNUSABLE_S)


async def project(settings: ProjectorSettings, replica_dsn: str, until: asyncio.Event) -> None:
    """Follow the log into the replica, beat for it in the primary, and keep it tidy.

    Raises:
        NameTakenError: another replica has its name.
        PreconditionError: the replica is a primary's database or of another log, or a database is
            of another version.
        UnavailableError: a database does not answer at the beginning.
    """
    dsn = settings.database_url.get_secret_value()
    name = "grantlog projector"
    witness = ReplicaWitness()
    async with (
        open_pool(
            dsn,
            size_max=CONNECTIONS_MAX,
            application_name=name,
            settings=INDEX_PLANS,
            on_connect=witness.proof.prove,
            whose=THE_PRIMARY,
        ) as primary,
        open_pool(
            replica_dsn,
            size_max=CONNECTIONS_MAX,
            application_name=name,
            settings=PROJECTING,
            whose=THE_REPLICA,
        ) as replica,
    ):
        await require_version(primary)
        await require_version(replica)
        await PostgresProjection(replica).require_replica()
        await follow_life(primary, replica)
        registration = Registration(
            primary,
            settings.replica_name,
            instance=await instance_of(replica, secrets.token_hex(8)),
            session=secrets.token_hex(8),
        )
        await registration.claim()
        async with _open_log(settings, primary) as log:
            projector = _projector(settings, primary, replica, log)
            await projector.start()  # what the replica holds is looked for before it is added to
            witness.stand_at(lambda: projector.positions)
            await witness.proof.look(primary)
            await _follow(settings, primary, replica, projector, registration, until)


def _projector(
    settings: ProjectorSettings, primary: Pool, replica: Pool, log: ChangeLog
) -> Projector:
    limits = FollowLimits(
        changes_max=settings.changes_per_slice_max, copy_revisions_min=settings.copy_revisions_min
    )
    copier = Copier(
        PostgresCopySource(primary),
        PostgresCopyTarget(replica),
        rows_max=settings.copy_rows_per_page_max,
    )
    return Projector(log, PostgresProjection(replica), limits, copier)


async def _follow(
    settings: ProjectorSettings,
    primary: Pool,
    replica: Pool,
    projector: Projector,
    registration: Registration,
    until: asyncio.Event,
) -> None:
    refused: list[NameTakenError] = []

    async def tell() -> None:
        at = projector.status
        await follow_life(primary, replica)
        try:
            await registration.beat(through=at.applied_through, detail=_detail(at))
        except NameTakenError as error:
            refused.append(error)
            until.set()

    async def keep_up() -> None:
        await purge_dead_lives(replica)
        await copy_floors(primary, replica)

    async with background_tasks() as group:
        beside = [
            group.create_task(repeat("beat", tell, settings.beat_s, until), name="beats"),
            group.create_task(repeat("upkeep", keep_up, settings.upkeep_s, until), name="upkeep"),
            group.create_task(_tell_progress(projector, until), name="progress"),
        ]
        try:
            await projector.run(until)
        finally:
            for task in beside:
                task.cancel()
    if refused:
        raise refused[0]
    await registration.release()


async def _tell_progress(projector: Projector, until: asyncio.Event) -> None:
    """While the replica is behind, log how much is done and how fast."""
    before = projector.status

    async def tell() -> None:
        nonlocal before
        now = projector.status
        rows, changes = now.copied.rows - before.copied.rows, now.changes - before.changes
        before = now
        if now.behind and (rows or changes):
            _LOG.info(
                "catching up",
                tenants_behind=now.behind,
                rows_copied=now.copied.rows,
                rows_copied_per_s=round(rows / _PROGRESS_S),
                changes_folded=now.changes,
                changes_folded_per_s=round(changes / _PROGRESS_S),
            )

    await repeat("progress", tell, _PROGRESS_S, until)


@asynccontextmanager
async def _open_log(settings: ProjectorSettings, pool: Pool) -> AsyncGenerator[ChangeLog]:
    """The log that the replica follows: on Kafka where that is configured."""
    dsn = settings.database_url.get_secret_value()
    async with open_change_log(pool, listen_dsn=dsn, through_every_s=THROUGH_EVERY_S) as primary:
        if not settings.kafka_bootstrap:
            yield primary
            return
        from grantlog.runtime.kafka import open_log  # noqa: PLC0415 - its client takes time to load

        async with open_log(settings, pool, primary) as log:
            yield log


def _detail(status: FollowStatus) -> str:
    """A follower's state as JSON, for people: `grantlog projector status` shows it."""
    stopped = dict(list(status.stopped.items())[:_STOPPED_SHOWN_MAX])
    detail = {
        "behind": status.behind,
        "stopped": len(status.stopped),
        "reasons": stopped,
        "copying": status.copied.under_way,
        "rows_copied": status.copied.rows,
        "changes_folded": status.changes,
    }
    return orjson.dumps(detail).decode()
