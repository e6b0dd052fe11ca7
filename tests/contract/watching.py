"""Watches over a primary's log, as a process runs them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from grantlog.app.known import KnownHeads
from grantlog.app.resolve import Resolver
from grantlog.app.terms import Consistency
from grantlog.app.watch import Told, Watch, WatchFilter
from grantlog.app.watch_hub import WatchHub, WatchLimits
from grantlog.errors import (
    GrantlogError,
)
from grantlog.model.change import Change, DataWritten
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.model.token import SnapToken, decode_token, encode_token
from grantlog.ports.heads import Head
from grantlog.ports.log import TenantLog
from grantlog.testing.contracts.places import ACME, Primary

QUICK = WatchLimits(heartbeat_s=0.1, poll_s=0.05, transactions_max=8, page_changes_max=4)
EVERYTHING = WatchFilter()


@dataclass
class Watcher:
    """One watch, and all that it heard."""

    messages: AsyncGenerator[Told]
    heard: list[Told] = field(default_factory=list[Told])

    async def until_revision(self, revision: int) -> list[Told]:
        """Listen until a message stands at the revision or behind it."""
        async with asyncio.timeout(10):
            async for told in self.messages:
                self.heard.append(told)
                if place(told).revision >= revision:
                    break
        return self.heard

    async def failure(self) -> GrantlogError:
        """Listen until it fails."""
        async with asyncio.timeout(10):
            with pytest.raises(GrantlogError) as caught:
                await self._all()
        return caught.value

    async def _all(self) -> None:
        async for told in self.messages:
            self.heard.append(told)

    def changes(self) -> list[tuple[Change, ...]]:
        """What was told of changes, a revision each."""
        return [told.changes for told in self.heard if told.changes]


def place(told: Told) -> SnapToken:
    """Where a message stands."""
    return decode_token(ACME, told.snap_token)


def token(revision: int, epoch: int = 1) -> str:
    """The token of a revision."""
    return encode_token(ACME, SnapToken(Epoch(epoch), Revision(revision)))


class Station:
    """A hub that runs, and watches over it."""

    def __init__(self, primary: Primary, limits: WatchLimits, log: TenantLog | None = None) -> None:
        source = log or primary.archive or primary.log
        self.hub = WatchHub(log or primary.hub_log or primary.log, limits)
        self.known = KnownHeads()
        resolver = Resolver(primary.heads, primary.past, self.known, Consistency.HEAD)
        clock = asyncio.get_running_loop().time
        self.watch = Watch(resolver, source, self.hub, limits, clock)

    def believe(self, tenant: TenantId, head: Head) -> None:
        """Know a head, whatever the primary says."""
        self.known.forget(tenant)
        self.known.learn(tenant, head, self.known.now())

    @asynccontextmanager
    async def watcher(
        self, snap_token: str = "", where: WatchFilter = EVERYTHING
    ) -> AsyncGenerator[Watcher]:
        """A watch for the block."""
        messages = self.watch(ACME, snap_token=snap_token, where=where)
        async with aclosing(messages):
            yield Watcher(messages)


@asynccontextmanager
async def station(
    primary: Primary, limits: WatchLimits = QUICK, log: TenantLog | None = None
) -> AsyncGenerator[Station]:
    """A station for the block."""
    opened = Station(primary, limits, log)
    async with asyncio.TaskGroup() as group:
        following = group.create_task(opened.hub.run())
        try:
            yield opened
        finally:
            following.cancel()


async def data_of(primary: Primary) -> list[tuple[Change, ...]]:
    """The changes of every data revision in the log."""
    bodies = [transaction.body for transaction in await primary.history()]
    return [body.changes for body in bodies if isinstance(body, DataWritten)]
