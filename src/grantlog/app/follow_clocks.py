"""Keeps the clocks of the caches moving: a follower of the log on the node that answers.

Only tenants that were asked about lately are looked at. A clock that is far behind is not led
through the log but begins anew at its end: that costs what was cached, and nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from grantlog.app.one_by_one import OneByOne
from grantlog.cache.clock import Clock
from grantlog.cache.clocks import Clocks
from grantlog.errors import CorruptionError, GrantlogError
from grantlog.model.ids import Revision, TenantId
from grantlog.ports.log import LogHead, TenantLog
from grantlog.waiting import Reminders

_LOG: Final = structlog.get_logger("grantlog.cache")


@dataclass(frozen=True, slots=True)
class FollowLimits:
    """The bounds of following."""

    behind_max: int = 1_000
    """A clock that is more revisions behind begins anew at the log's end."""
    reach_max: int = 100
    """A question waits for its clock where that lacks no more revisions."""
    page_changes_max: int = 5_000
    """Changes read from the log at once."""
    asked_s: float = 5.0
    """A tenant is looked at for so long after the last question about it."""
    poll_s: float = 0.2
    """Without a signal, the log is looked at so often."""
    pause_s: float = 0.02
    """Between two looks, however many signals come; never less than the last look took."""
    retry_s: float = 0.2
    """Between two looks where the log does not answer."""


class ClockFollower:
    """Feeds clocks from the log.

    Args:
        log: followed by nobody else.
        clocks: of the caches.
        limits: the defaults if None.
        now: seconds by a clock that never goes back.
    """

    def __init__(
        self,
        log: TenantLog,
        clocks: Clocks,
        limits: FollowLimits | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._clocks = clocks
        self._limits = limits or FollowLimits()
        self._now = now
        self._asked_at: dict[TenantId, float] = {}
        self._reading = OneByOne[TenantId]()

    async def run(self) -> None:
        """Follow until cancelled, whatever the log says: without it caches are slow, not wrong."""
        told = Reminders()
        while True:
            try:
                begun = self._now()
                await self.look()
                took = self._now() - begun
                await self._log.wait(self._limits.poll_s)
                await asyncio.sleep(max(self._limits.pause_s, took))
                told.end()
            except GrantlogError as error:
                if told.due(error.reason, self._now()):
                    _LOG.warning("caches do not hear of writes", because=error.explanation)
                await asyncio.sleep(self._limits.retry_s)

    async def look(self) -> None:
        """Bring the clocks that were asked lately to the log's end.

        Raises:
            UnavailableError: the log does not answer; the next look goes on.
        """
        clocks = self._asked_lately()
        heads = await self._log.heads_of(list(clocks))
        for tenant, head in heads.items():
            await self._bring(tenant, clocks[tenant], head)

    def _asked_lately(self) -> dict[TenantId, Clock]:
        now, limits = self._now(), self._limits
        self._asked_at |= dict.fromkeys(self._clocks.take_asked(), now)
        clocks: dict[TenantId, Clock] = {}
        for tenant, asked_at in list(self._asked_at.items()):
            clock = self._clocks.find(tenant)
            if clock is None or asked_at + limits.asked_s < now:
                del self._asked_at[tenant]
            else:
                clocks[tenant] = clock
        return clocks

    async def _bring(self, tenant: TenantId, clock: Clock, head: LogHead) -> None:
        """Bring one clock to an end of its log."""
        end = head.position
        if (end.epoch, head.begins) > (clock.epoch, clock.begins):
            self._forget(tenant, clock)
        elif (end.epoch, head.begins) < (clock.epoch, clock.begins):
            return  # a distributed log tells of an earlier life: it will come here
        elif end.revision - clock.seen > self._limits.behind_max:
            clock.restart(end.revision, end.digest)
        else:
            try:
                while clock.seen < end.revision:
                    if not await self._advance(tenant, clock, end.revision):
                        # Its log goes through another epoch, or was cut: nothing leads on.
                        clock.restart(end.revision, end.digest)
            except CorruptionError as error:
                _LOG.error("the log cannot be followed", tenant=tenant, because=error.explanation)
                self._forget(tenant, clock)

    def _forget(self, tenant: TenantId, clock: Clock) -> None:
        if self._clocks.find(tenant) is clock:
            self._clocks.forget(tenant)

    async def reach(self, tenant: TenantId, clock: Clock, at: Revision) -> None:
        """Have a clock see the log up to a revision, if that is soon done.

        Who asks goes on either way: a clock that stays behind makes values useless, not wrong.
        """
        if at - clock.seen > self._limits.reach_max:
            return
        try:
            while clock.seen < at:
                if not await self._advance(tenant, clock, at):
                    return
        except GrantlogError as error:
            _LOG.debug("a clock stays behind", tenant=tenant, because=error.explanation)

    async def _advance(self, tenant: TenantId, clock: Clock, at: Revision) -> bool:
        """Take the next page of a tenant's log in; False if the clock got no further."""
        async with self._reading.turn(tenant):
            seen = clock.seen
            if seen >= at:
                return True  # by the page that another one read meanwhile
            page = await self._log.read(
                tenant, after=seen, changes_max=self._limits.page_changes_max
            )
            if self._clocks.find(tenant) is not clock:
                return False
            return self._clocks.follow(page) and clock.seen > seen
