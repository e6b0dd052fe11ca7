"""Caring for a replica: rebuilding it, verifying it against its primary, telling how far it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from grantlog.app.copying import Copier
from grantlog.app.project import FollowLimits, FollowStatus, Projector
from grantlog.errors import BehindWindowError, ProjectionLaggingError
from grantlog.model.ids import Revision, TenantId
from grantlog.ports.log import NOWHERE, ChangeLog, Position, ProjectionStore

ATTEMPTS_MAX: Final = 5
"""A tenant may be deleted, or its history collected, while it is verified."""

POLL_S: Final = 0.05


class Digests(Protocol):
    """What can be verified: a replica, or a primary's tables."""

    async def digest(self, tenant: TenantId, at: Revision | None = None) -> tuple[Position, bytes]:
        """As ProjectionStore.digest."""
        ...


class Standing(Enum):
    """How a replica's tenant stands to its log."""

    CURRENT = "current"
    BEHIND = "behind"
    AHEAD = "ahead"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class TenantStatus:
    """A tenant in the log and in the replica."""

    tenant: TenantId
    head: Position
    applied: Position
    standing: Standing

    @property
    def lag(self) -> int:
        """Revisions that the replica lacks."""
        return max(0, self.head.revision - self.applied.revision)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the comparison of a tenant's digests came to."""

    tenant: TenantId
    revision: Revision
    equal: bool
    problem: str = ""
    """Why it is not equal, or could not be compared."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rebuild is."""

    revisions_done: int
    """Of tenants that are copied, none before the copy is whole."""
    revisions: int
    rows_copied: int = 0
    changes_folded: int = 0


async def status(log: ChangeLog, store: ProjectionStore) -> list[TenantStatus]:
    """How every tenant of the replica stands to its log, by tenant id.

    Raises:
        UnavailableError: a database does not answer.
    """
    applied = await store.positions()
    heads = (await log.heads_moved(None)).heads
    found: list[TenantStatus] = []
    for tenant in sorted(heads.keys() | applied.keys()):
        head, at = heads.get(tenant, NOWHERE), applied.get(tenant, NOWHERE)
        found.append(TenantStatus(tenant, head, at, _standing(head, at)))
    return found


def _standing(head: Position, at: Position) -> Standing:
    if at.revision < head.revision:
        return Standing.BEHIND
    if at.revision > head.revision:
        return Standing.AHEAD
    return Standing.CURRENT if at.digest == head.digest else Standing.DIFFERENT


async def rebuild(
    log: ChangeLog,
    store: ProjectionStore,
    *,
    copier: Copier | None = None,
    resume: bool = False,
    progress: Callable[[Progress], None] | None = None,
    limits: FollowLimits | None = None,
) -> FollowStatus:
    """Empty the replica and bring it to the heads at the start.

    A follower that runs meanwhile does no harm: both copy and fold, each page and slice once.

    Args:
        log: the primary's.
        store: the replica.
        copier: copies tenants with a long log; None folds every log from its beginning.
        resume: keep what is there and go on from it: after an interruption.
        progress: told after every round.
        limits: bounds, the defaults if None.

    Raises:
        UnavailableError: a database does not answer; `resume` goes on.
        PreconditionError: the store is not a replica.
    """
    if not resume:
        await store.clear()
    projector = Projector(log, store, limits, copier)
    await projector.start()
    goals = {tenant: head.revision for tenant, head in (await log.heads_moved(None)).heads.items()}
    total = sum(goals.values())
    while True:
        await projector.round()
        at = projector.positions
        done = sum(min(at.get(t, NOWHERE).revision, goal) for t, goal in goals.items())
        if progress is not None:
            now = projector.status
            progress(Progress(done, total, now.copied.rows, now.changes))
        stopped = projector.status.stopped
        if all(t in stopped or at.get(t, NOWHERE).revision >= goals[t] for t in goals):
            return projector.status


async def verify(
    log: ChangeLog,
    primary: Digests,
    replica: Digests,
    *,
    wait_s_max: float = 30.0,
    tell: Callable[[Verdict], None] | None = None,
) -> list[Verdict]:
    """Compare every tenant's digest in the primary and in the replica at the same revision.

    Writes may go on: both are digested as of the head that was read first.

    Args:
        log: the primary's.
        primary: the primary's tables.
        replica: the replica.
        wait_s_max: seconds that the replica may take to reach each head.
        tell: given each verdict as it is known.

    Raises:
        UnavailableError: a database does not answer.
    """
    verdicts: list[Verdict] = []
    for tenant in sorted((await log.heads_moved(None)).heads):
        verdicts.append(await _verify(tenant, primary, replica, wait_s_max))
        if tell is not None:
            tell(verdicts[-1])
    return verdicts


async def _verify(
    tenant: TenantId, primary: Digests, replica: Digests, wait_s_max: float
) -> Verdict:
    revision = Revision(0)
    for _ in range(ATTEMPTS_MAX):
        head, ours = await primary.digest(tenant)
        revision = head.revision
        try:
            theirs = await _digest_when_there(replica, tenant, revision, wait_s_max)
        except BehindWindowError:
            continue  # the tenant was deleted, or history collected, since `head` was read
        except ProjectionLaggingError as error:
            return Verdict(tenant, revision, equal=False, problem=error.explanation)
        problem = "" if ours == theirs else "its facts or schemas differ: rebuild the replica"
        return Verdict(tenant, revision, equal=not problem, problem=problem)
    return Verdict(tenant, revision, equal=False, problem="it changes its life too fast to compare")


async def _digest_when_there(
    replica: Digests, tenant: TenantId, revision: Revision, wait_s_max: float
) -> bytes:
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_s_max
    while True:
        try:
            _, digest = await replica.digest(tenant, revision)
        except ProjectionLaggingError:
            if loop.time() >= until:
                raise
            await asyncio.sleep(POLL_S)
        else:
            return digest
