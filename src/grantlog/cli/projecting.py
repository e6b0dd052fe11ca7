"""Looking after a replica from the command line: what `app/replicas.py` finds, in lines."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Final

from grantlog.app import replicas
from grantlog.app.copying import Copier
from grantlog.changelog.postgres.log import PostgresChangeLog, open_change_log
from grantlog.cli.databases import Databases
from grantlog.errors import CorruptionError, PreconditionError
from grantlog.store.postgres.connecting import THE_REPLICA
from grantlog.store.postgres.copy_source import PostgresCopySource
from grantlog.store.postgres.copy_target import PostgresCopyTarget
from grantlog.store.postgres.followers import forget_follower, holding
from grantlog.store.postgres.pool import Pool, open_pool
from grantlog.store.postgres.primary import open_primary_pool
from grantlog.store.postgres.projection import PROJECTING, PostgresProjection
from grantlog.store.postgres.registration import instance_of

Say = Callable[[str], None]

_TELL_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Both:
    """The log, the tables it was written with, and what it is folded into."""

    pool: Pool
    log: PostgresChangeLog
    primary: PostgresProjection
    replica_pool: Pool
    replica: PostgresProjection


async def verify(databases: Databases, say: Say) -> bool:
    """Say for each tenant whether the replica holds what the primary holds; whether all do.

    Raises:
        PreconditionError: the replica was run as a primary once.
    """

    def tell(verdict: replicas.Verdict) -> None:
        found = "equal" if verdict.equal else f"NOT EQUAL ({verdict.problem})"
        say(f"{verdict.tenant}: {found} at revision {verdict.revision}")

    async with opened(databases, only_looks=True) as both:
        await both.replica.refuse_run_as_primary()
        verdicts = await replicas.verify(both.log, both.primary, both.replica, tell=tell)
    wrong = sum(not verdict.equal for verdict in verdicts)
    say(f"{len(verdicts) - wrong} of {len(verdicts)} tenants are equal")
    return not wrong


async def rebuild(databases: Databases, say: Say, *, resume: bool, from_log: bool) -> None:
    """Empty the replica (unless resuming) and bring it to the heads: by copies, or from the log.

    Raises:
        CorruptionError: a tenant's log could not be folded; the text names it.
    """
    async with opened(databases) as both:
        await both.replica.require_replica()
        copier = None
        if not from_log:
            copier = Copier(PostgresCopySource(both.pool), PostgresCopyTarget(both.replica_pool))
        instance = await instance_of(both.replica_pool, secrets.token_hex(8))
        # While it is rebuilt, history that it needs stays: nobody else may beat for this replica.
        async with holding(both.pool, f"rebuild of {instance}"):
            found = await replicas.rebuild(
                both.log,
                both.replica,
                copier=copier,
                resume=resume,
                progress=_teller(say, time.monotonic),
            )
    if found.stopped:
        tenant, why = next(iter(found.stopped.items()))
        raise CorruptionError(f"{len(found.stopped)} tenants were not rebuilt; {tenant}: {why}")


async def forget(databases: Databases, name: str) -> None:
    """Take a replica that is gone for good off the table: history need not wait for it.

    Raises:
        PreconditionError: none of that name is registered.
    """
    async with open_primary_pool(
        databases.primary, size_max=1, application_name="grantlog projector"
    ) as pool:
        if not await forget_follower(pool, name):
            raise PreconditionError(f"no replica is registered under the name {name!r}")


def _teller(say: Say, clock: Callable[[], float]) -> Callable[[replicas.Progress], None]:
    """What says how far a rebuild is, and how fast it was since the last time: once a second."""
    told_at, told = clock(), replicas.Progress(0, 0)

    def tell(now: replicas.Progress) -> None:
        nonlocal told_at, told
        at = clock()
        is_last = now.revisions_done == now.revisions
        if at - told_at < _TELL_S and not is_last:
            return
        passed_s = max(at - told_at, 1e-3)
        rows, changes = now.rows_copied - told.rows_copied, now.changes_folded - told.changes_folded
        say(
            f"copied {now.rows_copied:,} rows ({rows / passed_s:,.0f}/s), "
            f"folded {now.changes_folded:,} changes ({changes / passed_s:,.0f}/s), "
            f"at {now.revisions_done:,} of {now.revisions:,} revisions"
        )
        told_at, told = at, now

    return tell


@contextlib.asynccontextmanager
async def opened(databases: Databases, *, only_looks: bool = False) -> AsyncGenerator[Both]:
    """Both databases for the block; `only_looks` as `open_primary_pool`.

    Raises:
        PreconditionError: there is no replica, or it stands where the primary should.
        UnavailableError: a database does not answer.
    """
    if databases.replica is None:
        raise PreconditionError(
            "there is no replica: name one with --replica-url, or serve with --with-replica"
        )
    name = "grantlog projector"
    async with (
        open_primary_pool(
            databases.primary, size_max=3, application_name=name, only_looks=only_looks
        ) as primary,
        open_pool(
            databases.replica,
            size_max=2,
            application_name=name,
            settings=PROJECTING,
            whose=THE_REPLICA,
        ) as replica,
        open_change_log(primary, listen_dsn=databases.primary) as log,
    ):
        yield Both(primary, log, PostgresProjection(primary), replica, PostgresProjection(replica))
