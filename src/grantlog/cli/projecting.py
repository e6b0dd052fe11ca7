"""Looking after a replica: how far it is, whether it is right, folding it anew."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Final

from grantlog.changelog.postgres.log import PostgresChangeLog, open_change_log
from grantlog.cli.databases import Databases
from grantlog.errors import PreconditionError
from grantlog.model.ids import Revision, TenantId
from grantlog.ports.log import NOWHERE, Position
from grantlog.store.postgres.digest import tenant_digest
from grantlog.store.postgres.pool import Pool, open_pool
from grantlog.store.postgres.primary import open_primary_pool
from grantlog.store.postgres.projection import PROJECTING, PostgresProjection

CHANGES_MAX: Final = 10_000
"""Folded in one transaction of the replica."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Both:
    """The log and what it is folded into."""

    primary: Pool
    log: PostgresChangeLog
    replica: PostgresProjection


async def status(databases: Databases, say: Say) -> None:
    """Say for each tenant how far the replica is."""
    if databases.replica is None:
        say("there is no replica: the primary's own tables are read")
        return
    async with _opened(databases) as both:
        heads = (await both.log.heads_moved(None)).heads
        applied = await both.replica.positions()
    for tenant in sorted(heads):
        head, there = heads[tenant].revision, applied.get(tenant, NOWHERE).revision
        say(f"{tenant}: applied {there} of {head}, lag {head - there}")


async def verify(databases: Databases, say: Say) -> bool:
    """Say for each tenant whether the replica holds what the primary held at its revision."""
    wrong = 0
    async with _opened(databases) as both:
        heads = (await both.log.heads_moved(None)).heads
        applied = await both.replica.positions()
        for tenant in sorted(applied.keys() | heads.keys()):
            position, digest = await both.replica.digest(tenant)
            equal = position.revision == 0 or await _equal(both, tenant, position, digest)
            wrong += not equal
            head = heads.get(tenant, NOWHERE).revision
            say(f"{tenant}: {'equal' if equal else 'DIFFERENT'} at {position.revision} of {head}")
    say(f"{wrong} of {len(applied.keys() | heads.keys())} tenants differ")
    return not wrong


async def _equal(both: _Both, tenant: TenantId, position: Position, digest: bytes) -> bool:
    _, truth = await tenant_digest(both.primary, tenant, position.revision)
    return truth == digest


async def rebuild(databases: Databases, say: Say) -> None:
    """Empty the replica and fold the whole log; a follower that runs meanwhile does no harm."""
    async with _opened(databases) as both:
        await both.replica.clear()
        heads = (await both.log.heads_moved(None)).heads
        for tenant in sorted(heads):
            folded = await _fold(both, tenant, heads[tenant])
            say(f"{tenant}: folded up to {folded}")


async def _fold(both: _Both, tenant: TenantId, head: Position) -> Revision:
    """Fold a tenant's log up to where its head stood."""
    after = Revision(0)
    while after < head.revision:
        transactions = await both.log.read(tenant, after=after, changes_max=CHANGES_MAX)
        if not transactions:
            break
        await both.replica.apply(transactions)
        after = transactions[-1].revision
    await both.replica.adopt_epoch(tenant, head)
    return after


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
        yield _Both(primary, log, PostgresProjection(replica))
