"""One follower of the log for all watchers of a process, with a bounded buffer for each.

Only tenants that somebody watches are looked at. A tenant's channel stands at a place in its log;
every transaction behind that place goes, in order, to each watcher that has joined. Who does not
keep up is cut: a watcher's memory is bounded, and nobody waits for anybody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from grantlog.errors import (
    ConflictError,
    CorruptionError,
    GrantlogError,
    LostWriteError,
    SlowReaderError,
    UnavailableError,
)
from grantlog.model.change import TenantDeleted, Transaction
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.ports.log import LogHead, Position, TenantLog
from grantlog.waiting import set_within

_LOG: Final = structlog.get_logger("grantlog.watch")


@dataclass(frozen=True, slots=True)
class WatchLimits:
    """The bounds of watching."""

    transactions_max: int = 1_000
    """Transactions that wait for one watcher to take them,"""
    changes_max: int = 10_000
    """and the changes in them; a larger transaction waits alone."""
    page_changes_max: int = 5_000
    """Changes read from the log at once."""
    history_reads_max: int = 2
    """Watchers that read history at the same time; others wait their turn."""
    heartbeat_s: float = 10.0
    """A watcher to whom nothing happens hears so often where it stands."""
    poll_s: float = 0.2
    """Without a signal, the log is looked at so often."""
    unreachable_s_max: float = 10.0
    """Watchers are told when the log could not be looked at for so long."""
    retry_s: float = 0.2


@dataclass(frozen=True, slots=True)
class Place:
    """How far a watcher, or a channel, has come in a tenant's log."""

    epoch: Epoch
    revision: Revision
    digest: bytes | None
    """Of the transaction at `revision`; None where a token told the place, which has none."""

    def then(self, transaction: Transaction) -> Place:
        """The place behind the next transaction.

        The log of a tenant's life goes away with it, so a deletion may follow any earlier place.

        Raises:
            CorruptionError: it is not the next one.
            LostWriteError: it continues another history than the one told so far.
        """
        follows = transaction.revision == self.revision + 1
        skips = isinstance(transaction.body, TenantDeleted) and transaction.revision > self.revision
        if not follows and not skips:
            raise CorruptionError(f"revision {transaction.revision} behind {self.revision}")
        other = self.digest is not None and transaction.previous_digest != self.digest
        if follows and other:
            raise lost_behind(self)
        return Place(transaction.epoch, transaction.revision, transaction.digest)


def lost_behind(place: Place) -> LostWriteError:
    """What is told of `place` is not in the log any more."""
    return LostWriteError(
        f"what was told up to revision {place.revision} was lost when the database was restored or "
        "failed over: read the facts anew, and watch from the token of that reading"
    )


class Subscription:
    """What waits for one watcher."""

    def __init__(self, joined_at: Place, limits: WatchLimits) -> None:
        self.joined_at = joined_at
        """Every transaction behind it comes here."""
        self._limits = limits
        self._waiting: deque[Transaction] = deque()
        self._changes = 0
        self._failure: GrantlogError | None = None
        self._ready = asyncio.Event()

    async def next(self, timeout_s: float) -> Transaction | None:
        """The next transaction; None if there is none within the time.

        Raises:
            GrantlogError: it ended, and all that came before has been taken.
        """
        if not self._waiting and self._failure is None:
            self._ready.clear()
            if not await set_within(self._ready, timeout_s):
                return None
        if self._waiting:
            transaction = self._waiting.popleft()
            self._changes -= transaction.size
            return transaction
        assert self._failure is not None, "woken for a transaction or a failure"
        raise self._failure

    def push(self, transaction: Transaction) -> bool:
        """Let a transaction wait; False if that is too much, and this has ended."""
        changes = transaction.size
        limits = self._limits
        crowded = len(self._waiting) >= limits.transactions_max
        heavy = self._waiting and self._changes + changes > limits.changes_max
        if crowded or heavy:
            self.end(
                SlowReaderError(
                    f"{len(self._waiting)} transactions with {self._changes} changes wait for this "
                    "watcher, more are not kept for it"
                )
            )
            return False
        self._waiting.append(transaction)
        self._changes += changes
        self._ready.set()
        return True

    def end(self, failure: GrantlogError) -> None:
        """Nothing comes behind what waits already."""
        self._failure = failure
        self._ready.set()


class _Channel:
    """A tenant that somebody watches."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.subscriptions: set[Subscription] = set()

    def push(self, transaction: Transaction) -> None:
        self.place = self.place.then(transaction)
        slow = {each for each in self.subscriptions if not each.push(transaction)}
        self.subscriptions -= slow

    def end(self, failure: GrantlogError) -> None:
        for subscription in self.subscriptions:
            subscription.end(failure)
        self.subscriptions.clear()


class WatchHub:
    """Follows the log on behalf of the watchers of one process."""

    def __init__(self, log: TenantLog, limits: WatchLimits | None = None) -> None:
        self._log = log
        self._limits = limits or WatchLimits()
        self._channels: dict[TenantId, _Channel] = {}
        self._wanted = asyncio.Event()
        self._closed: GrantlogError | None = None

    @contextmanager
    def joined(self, tenant: TenantId, place: Place) -> Generator[Subscription]:
        """For the block, every transaction behind `Subscription.joined_at` comes to it.

        `place` is where the watcher stands; the channel may stand before or behind it.
        """
        channel = self._channels.get(tenant)
        if channel is None:
            channel = self._channels[tenant] = _Channel(place)
        subscription = Subscription(channel.place, self._limits)
        channel.subscriptions.add(subscription)
        if self._closed is not None:
            subscription.end(self._closed)
        self._wanted.set()
        try:
            yield subscription
        finally:
            channel.subscriptions.discard(subscription)
            if not channel.subscriptions and self._channels.get(tenant) is channel:
                del self._channels[tenant]

    @property
    def watched(self) -> int:
        """How many tenants are watched."""
        return len(self._channels)

    def close(self) -> None:
        """End all watchers, those included that come later: the process is going to stop."""
        self._closed = UnavailableError("this node is shutting down")
        self._end_all(self._closed)

    def _end_all(self, failure: GrantlogError) -> None:
        for channel in self._channels.values():
            channel.end(failure)
        self._channels.clear()

    async def run(self) -> None:
        """Follow until cancelled, through losses of the database."""
        clock = asyncio.get_running_loop().time
        looked_at = clock()
        while True:
            if not self._channels:
                self._wanted.clear()
                await self._wanted.wait()
                looked_at = clock()
            try:
                behind = await self._round()
                looked_at = clock()
                if not behind:
                    await self._log.wait(self._limits.poll_s)
            except (UnavailableError, ConflictError) as error:
                _LOG.warning("the log cannot be followed", because=error.explanation)
                if clock() - looked_at > self._limits.unreachable_s_max:
                    self._end_all(UnavailableError("the log cannot be read at the moment"))
                await asyncio.sleep(self._limits.retry_s)

    async def _round(self) -> bool:
        """Look once at every channel; whether one of them is still behind."""
        channels = list(self._channels.items())
        heads = await self._log.heads_of([tenant for tenant, _ in channels])
        # A watcher's own token may be newer than what a distributed log has told so far.
        ahead = [
            tenant
            for tenant, channel in channels
            if tenant in heads and _is_beyond(channel.place, heads[tenant].position)
        ]
        if ahead:
            heads |= await self._log.heads_of(ahead, now=True)
        behind = False
        for tenant, channel in channels:
            head = heads.get(tenant)
            if head is None or self._channels.get(tenant) is not channel:
                continue  # nothing was written yet, or everybody left meanwhile
            try:
                behind = await self._advance(tenant, channel, head) or behind
            except (CorruptionError, LostWriteError) as error:
                self._drop(tenant, channel, error)
        return behind

    async def _advance(self, tenant: TenantId, channel: _Channel, head: LogHead) -> bool:
        """Push what is new in a channel, a page at most; whether more is to come."""
        place, end = channel.place, head.position
        if end.revision <= place.revision:
            if _is_beyond(place, end):
                raise lost_behind(place)
            return False
        # Of a life that ended only the deletion is left to tell, to watchers of the next life too.
        after = max(place.revision, Revision(head.begins - 1))
        page = await self._log.read(tenant, after=after, changes_max=self._limits.page_changes_max)
        for transaction in page:
            channel.push(transaction)
        await asyncio.sleep(0)  # a log in memory never waits: watchers take what they were given
        return channel.place.revision < end.revision

    def _drop(self, tenant: TenantId, channel: _Channel, failure: GrantlogError) -> None:
        channel.end(failure)
        if self._channels.get(tenant) is channel:
            del self._channels[tenant]


def _is_beyond(place: Place, end: Position) -> bool:
    """Whether a log that ends there does not have what was told."""
    if end.revision == place.revision:
        return place.digest is not None and end.digest != place.digest
    return end.revision < place.revision
