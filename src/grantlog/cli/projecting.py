"""Looking after a replica from the command line: what `app/replicas.py` finds, in lines."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

import orjson

from grantlog.app import replicas
from grantlog.changelog.postgres.log import PostgresChangeLog, open_change_log
from grantlog.cli.databases import Databases
from grantlog.errors import CorruptionError, PreconditionError
from grantlog.store.postgres.epoch import newest_epoch
from grantlog.store.postgres.followers import followers
from grantlog.store.postgres.pool import Pool, open_pool
from grantlog.store.postgres.primary import open_primary_pool
from grantlog.store.postgres.projection import PROJECTING, PostgresProjection

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Both:
    """The log, the tables it was written with, and what it is folded into."""

    pool: Pool
    log: PostgresChangeLog
    primary: PostgresProjection
    replica: PostgresProjection


async def status(databases: Databases, say: Say) -> None:
    """Say for each tenant how far the replica is, and which followers beat."""
    if databases.replica is None:
        say("there is no replica: the primary's own tables are read")
        return
    async with _opened(databases) as both:
        epoch = await newest_epoch(both.pool)
        if epoch is not None:
            say(epoch.line)
        for tenant in await replicas.status(both.log, both.replica):
            say(
                f"{tenant.tenant}: {tenant.standing.value}, "
                f"applied {tenant.applied.revision} of {tenant.head.revision}, lag {tenant.lag}"
            )
        for follower in await followers(both.pool):
            stopped = _stopped(follower.detail)
            age_s = follower.age.total_seconds()
            say(f"follower {follower.name} ({follower.kind}): beat {age_s:.1f} s ago")
            for tenant, why in stopped.items():
                say(f"  stopped at tenant {tenant}: {why}")


def _stopped(detail: str) -> dict[str, str]:
    return orjson.loads(detail).get("reasons", {}) if detail else {}


async def verify(databases: Databases, say: Say) -> bool:
    """Say for each tenant whether the replica holds what the primary holds; whether all do."""
    async with _opened(databases) as both:
        verdicts = await replicas.verify(both.log, both.primary, both.replica)
    for verdict in verdicts:
        found = "equal" if verdict.equal else f"NOT EQUAL ({verdict.problem})"
        say(f"{verdict.tenant}: {found} at revision {verdict.revision}")
    wrong = sum(not verdict.equal for verdict in verdicts)
    say(f"{len(verdicts) - wrong} of {len(verdicts)} tenants are equal")
    return not wrong


async def rebuild(databases: Databases, say: Say, *, resume: bool) -> None:
    """Empty the replica (unless resuming) and fold the whole log.

    Raises:
        CorruptionError: a tenant's log could not be folded; the text names it.
    """

    def tell(progress: replicas.Progress) -> None:
        say(f"folded {progress.revisions_done} of {progress.revisions} revisions")

    async with _opened(databases) as both:
        found = await replicas.rebuild(both.log, both.replica, resume=resume, progress=tell)
    if found.stopped:
        tenant, why = next(iter(found.stopped.items()))
        raise CorruptionError(f"{len(found.stopped)} tenants were not rebuilt; {tenant}: {why}")


@contextlib.asynccontextmanager
async def _opened(databases: Databases) -> AsyncGenerator[_Both]:
    if databases.replica is None:
        raise PreconditionError(
            "there is no replica: name one with --replica-url, or serve with --with-replica"
        )
    name = "grantlog projector"
    async with (
        open_primary_pool(databases.primary, size_max=2, application_name=name) as primary,
        open_pool(
            databases.replica, size_max=2, application_name=name, settings=PROJECTING
        ) as replica,
        open_change_log(primary, listen_dsn=databases.primary) as log,
    ):
        yield _Both(primary, log, PostgresProjection(primary), PostgresProjection(replica))
