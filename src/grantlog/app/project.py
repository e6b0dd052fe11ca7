"""Following the log into a replica: who is behind, one bounded slice at a time, fairly.

Exactly-once is the store's: a slice's rows and position commit together, and what was folded is
skipped. So everything here may be wrong about where a tenant stands, and only costs a retry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import structlog

from grantlog.app.copying import NOT_COPYING, Copier, CopyProgress
from grantlog.app.slices import fold_slice
from grantlog.app.together import fold_together, grouped
from grantlog.errors import ConflictError, CorruptionError, UnavailableError
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.ports.log import NOWHERE, ChangeLog, Position, ProjectionStore
from grantlog.projection.goal import Goal
from grantlog.waiting import set_within

_LOG = structlog.get_logger("grantlog.project")


@dataclass(frozen=True, slots=True)
class FollowLimits:
    """The bounds of following."""

    changes_max: int = 10_000
    """Changes of one slice, about: memory, and how long other tenants wait."""
    poll_s: float = 0.2
    """Without a signal, the log is looked at so often."""
    backoff_s_min: float = 0.1
    backoff_s_max: float = 5.0
    copy_revisions_min: int = 1_000
    """A tenant that is not here at all and has so many revisions is copied rather than folded."""
    look_again_s: float = 10.0
    """A tenant that stopped is looked at so often: it goes on when somebody rebuilt it."""


@dataclass(frozen=True, slots=True)
class FollowStatus:
    """How far a follower is."""

    applied_through: datetime | None
    """The primary's time up to which everything is folded; None before the first catch-up."""
    behind: int
    """Tenants whose log goes on."""
    stopped: Mapping[TenantId, str] = field(default_factory=dict[TenantId, str])
    """Tenants that are not folded any more, and why. They do not hold `applied_through` back:
    reads of theirs are refused at what they lack, whatever the time."""
    changes: int = 0
    """Changes folded since this follower began."""
    copied: CopyProgress = NOT_COPYING
    """What it copied since it began."""


class Projector:
    """Keeps a replica at the head of the log.

    Args:
        log: what is followed.
        store: the replica.
        limits: bounds, the defaults if None.
        copier: brings tenants with a long log that are not in the replica; None folds all.
    """

    def __init__(
        self,
        log: ChangeLog,
        store: ProjectionStore,
        limits: FollowLimits | None = None,
        copier: Copier | None = None,
    ) -> None:
        self._log = log
        self._store = store
        self._copier = copier
        self._limits = limits or FollowLimits()
        self._positions: dict[TenantId, Position] = {}
        self._targets: dict[TenantId, Position] = {}
        self._stopped: dict[TenantId, tuple[str, Position]] = {}
        self._mark: str | None = None
        self._goal = Goal()
        self._look_again_at = 0.0
        self._failed_at: dict[TenantId, Position] = {}
        self._begun_anew: dict[TenantId, Epoch] = {}
        self._changes = 0
        self._is_started = False

    @property
    def status(self) -> FollowStatus:
        """How far this follower is."""
        stopped = {tenant: reason for tenant, (reason, _) in self._stopped.items()}
        copied = self._copier.progress if self._copier else NOT_COPYING
        return FollowStatus(self._goal.through, len(self._targets), stopped, self._changes, copied)

    @property
    def positions(self) -> Mapping[TenantId, Position]:
        """Where each tenant stands, as far as this follower knows."""
        return self._positions

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until `stop` is set, through losses of either database; `start` first, if needed.

        Raises:
            PreconditionError: the store is not a replica, or its database is of another version.
        """
        backoff_s = self._limits.backoff_s_min
        while not stop.is_set():
            try:
                if not self._is_started:
                    await self.start()
                while not stop.is_set():
                    await self.round(stop)
                    backoff_s = self._limits.backoff_s_min
                    if not self._targets:
                        await self._log.wait(self._limits.poll_s)
            except (UnavailableError, ConflictError) as error:
                self._is_started = False
                _LOG.warning("following interrupted", because=error.explanation, again_s=backoff_s)
                await set_within(stop, backoff_s)
                backoff_s = min(2 * backoff_s, self._limits.backoff_s_max)

    async def start(self) -> None:
        """Find out where every tenant stands, and look at the whole log again."""
        self._positions = await self._store.positions()
        if self._copier is not None:
            await self._copier.start()
        self._targets.clear()
        self._mark = None
        self._goal.drop()
        self._is_started = True

    async def round(self, stop: asyncio.Event | None = None) -> None:
        """Look at the heads once and fold one slice of every tenant that is behind."""
        await self._look_again()
        moved = await self._log.heads_moved(self._mark)
        self._mark = moved.mark  # before heads are compared: that may ask for all of them anew
        for tenant, head in moved.heads.items():
            await self._note(tenant, head)
        targets = {tenant: target.revision for tenant, target in self._targets.items()}
        self._goal.aim(moved.through, targets)
        self._goal.arrive(self._is_done)
        for tenant in await self._fold_together(stop):
            if stop is not None and stop.is_set():
                return
            head = self._targets[tenant]
            await self._guarded(tenant, head, lambda tenant=tenant: self._advance(tenant))
            self._goal.arrive(self._is_done)

    async def _fold_together(self, stop: asyncio.Event | None) -> list[TenantId]:
        """Fold what is short of several tenants; those that are behind and were not among them."""
        ends = dict(self._targets)
        folding = [tenant for tenant, end in ends.items() if not self._is_copied(tenant, end)]
        behind = {tenant: (self._at(tenant).revision, ends[tenant].revision) for tenant in folding}
        changes_max = self._limits.changes_max
        groups = grouped(behind, changes_max)
        folded: set[TenantId] = set()
        async with aclosing(fold_together(self._log, self._store, groups, changes_max)) as pages:
            async for page in pages:
                self._changes += sum(transaction.size for transaction in page)
                for last in {each.tenant: each for each in page}.values():
                    folded.add(last.tenant)
                    end = ends[last.tenant]
                    step = partial(self._reached, last.tenant, Position.of(last), end)
                    await self._guarded(last.tenant, end, step)
                self._goal.arrive(self._is_done)
                if stop is not None and stop.is_set():
                    break
        return [tenant for tenant in ends if tenant not in folded]

    def _at(self, tenant: TenantId) -> Position:
        return self._positions.get(tenant, NOWHERE)

    def _is_done(self, tenant: TenantId, revision: Revision) -> bool:
        """Whether a tenant is folded so far, or not folded any more."""
        return self._at(tenant).revision >= revision or tenant in self._stopped

    async def _note(self, tenant: TenantId, head: Position) -> None:
        if tenant not in self._stopped:
            await self._guarded(tenant, head, lambda: self._compare(tenant, head))

    async def _compare(self, tenant: TenantId, head: Position) -> None:
        """Remember a tenant that is behind its head; refuse one that is ahead or elsewhere."""
        at = self._at(tenant)
        if at.revision < head.revision:
            self._targets[tenant] = head
            return
        self._targets.pop(tenant, None)
        if at.revision > head.revision:
            raise CorruptionError(
                f"the replica is at revision {at.revision}, the log ends at {head.revision}"
            )
        if at != head:
            if not await self._store.adopt_epoch(tenant, head):
                raise CorruptionError(f"revision {at.revision} is not what the log has there")
            self._positions[tenant] = Position(
                Epoch(max(at.epoch, head.epoch)), head.revision, head.digest
            )

    async def _advance(self, tenant: TenantId) -> None:
        """Fold one slice of a tenant's log, or copy one page of a tenant that is to be copied."""
        target = self._targets[tenant]
        copier = self._copier
        if copier is not None and self._is_copied(tenant, target):
            copied = await copier.step(tenant)
            if copied is None and not copier.is_copying(tenant):
                copied = (await self._store.positions()).get(tenant)
            if copied is not None:
                await self._reached(tenant, copied, target)
            return
        behind = (self._at(tenant).revision, target.revision)
        slice_ = fold_slice(self._log, self._store, tenant, behind, self._limits.changes_max)
        async with aclosing(slice_) as pieces:
            async for piece in pieces:
                self._changes += sum(transaction.size for transaction in piece)
                await self._reached(tenant, Position.of(piece[-1]), target)

    def _is_copied(self, tenant: TenantId, target: Position) -> bool:
        """Whether a tenant is copied rather than folded."""
        copier = self._copier
        if copier is None or self._at(tenant) != NOWHERE:
            return False
        return target.revision >= self._limits.copy_revisions_min or copier.is_copying(tenant)

    async def _reached(self, tenant: TenantId, at: Position, target: Position) -> None:
        self._positions[tenant] = at
        if at.revision == target.revision:
            await self._compare(tenant, target)
        elif at.revision > target.revision:
            del self._targets[tenant]

    async def _guarded(
        self, tenant: TenantId, head: Position, step: Callable[[], Awaitable[None]]
    ) -> None:
        """Run a step; if it cannot be right twice where the tenant really stands, stop it.

        One that stands in a history that was lost begins anew instead.
        """
        try:
            await step()
        except CorruptionError as error:
            believed = self._at(tenant)
            stored = (await self._store.positions()).get(tenant, NOWHERE)
            if stored != believed:  # somebody else folded or cleared: start over from there
                self._positions[tenant] = stored
                self._targets.pop(tenant, None)
                self._mark = None
                return
            self._targets.pop(tenant, None)
            if self._failed_at.get(tenant) != stored:
                # A log that is distributed may have told something wrong: it is asked once more,
                # and for all heads, before somebody is called.
                self._failed_at[tenant] = stored
                self._mark = None
                _LOG.warning("looking again", tenant=tenant, because=error.explanation)
                return
            if await self._begin_anew(tenant, head, stored):
                _LOG.warning("tenant folded anew", tenant=tenant, because=error.explanation)
                return
            self._stopped[tenant] = (error.explanation, stored)
            _LOG.error("tenant stopped: rebuild it", tenant=tenant, because=error.explanation)

    async def _begin_anew(self, tenant: TenantId, head: Position, stored: Position) -> bool:
        """Empty a tenant if the log's newer epoch does not continue it; once for each epoch.

        A later epoch than the one it was folded in tells that the log was put back: what is here
        was lost. Within one epoch the same would be damage, which folding again may hide.
        """
        known = max(stored.epoch, self._begun_anew.get(tenant, Epoch(0)))
        if stored == NOWHERE or head.epoch <= known:
            return False
        self._begun_anew[tenant] = head.epoch
        await self._store.forget(tenant, stored)
        self._positions = await self._store.positions()
        self._failed_at.pop(tenant, None)
        self._mark = None
        self._goal.drop()
        return True

    async def _look_again(self) -> None:
        """Take up tenants that stopped and stand elsewhere since: they were rebuilt."""
        now = asyncio.get_running_loop().time()
        if not self._stopped or now < self._look_again_at:
            return
        self._look_again_at = now + self._limits.look_again_s
        stored = await self._store.positions()
        for tenant, (_, stood) in list(self._stopped.items()):
            if stored.get(tenant, NOWHERE) != stood:
                del self._stopped[tenant]
                self._failed_at.pop(tenant, None)
                self._positions[tenant] = stored.get(tenant, NOWHERE)
                self._mark = None
                _LOG.warning("tenant taken up again", tenant=tenant)
