"""The relay from the primary's log to the topic: every transaction, in order, at least once.

One publisher works on each partition at a time; others stand by. What it may send again, and what
a predecessor that wakes up late sends, consumers recognise: by tenant, epoch and revision, and by
the fence that each message carries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import structlog

from grantlog.changelog.kafka.backlog import Backlog
from grantlog.changelog.kafka.message import (
    Fence,
    Outgoing,
    event_message,
    heartbeat_message,
    partition_of,
)
from grantlog.changelog.kafka.producer import TopicWriter
from grantlog.changelog.kafka.topic import TopicSpec
from grantlog.changelog.parts import Part
from grantlog.changelog.postgres.outbox import Acknowledged, Lease, Outbox
from grantlog.errors import GrantlogError, PreconditionError
from grantlog.model.ids import Epoch, TenantId
from grantlog.ports.log import ChangeLog

_LOG: Final = structlog.get_logger("grantlog.publish")

LookBack = Callable[[Collection[Lease]], Awaitable[Epoch | None]]
"""Holds partitions against the log, before anything is sent there: `TopicTail.look_back`."""
OpenWriter = Callable[[], AbstractAsyncContextManager[TopicWriter]]


@dataclass(frozen=True, slots=True)
class PublishLimits:
    """The bounds of publishing."""

    lease_s: float = 5.0
    """A publisher that does not renew its leases for so long is succeeded by another."""
    hold_s: float = 1.0
    """Between renewals, and between heartbeats."""
    poll_s: float = 0.2
    """Without a signal, the log is looked at so often."""
    batch_bytes_max: int = 4 * 1024 * 1024
    """Payloads read and sent at once; a single part may be larger."""
    batch_tenants_max: int = 500
    """Tenants whose transactions are read at once."""
    backoff_s_min: float = 0.1
    backoff_s_max: float = 5.0


class Publisher:
    """Publishes the partitions whose leases this process holds."""

    def __init__(
        self,
        log: ChangeLog,
        outbox: Outbox,
        open_writer: OpenWriter,
        *,
        spec: TopicSpec,
        limits: PublishLimits | None = None,
        look_back: LookBack | None = None,
    ) -> None:
        self._look_back = look_back
        self._log = log
        self._outbox = outbox
        self._open_writer = open_writer
        self._spec = spec
        self._limits = limits or PublishLimits()
        self._leases: dict[int, Lease] = {}
        self._troubles: dict[int, str] = {}
        self._epoch = Epoch(0)
        self._backlog = Backlog()
        self._mark: str | None = None
        self._hold_at = 0.0

    @property
    def held(self) -> frozenset[int]:
        """The partitions that this publisher works on."""
        return frozenset(self._leases)

    @property
    def troubles(self) -> dict[int, str]:
        """By partition, why nothing is sent there."""
        return dict(self._troubles)

    @property
    def stopped(self) -> dict[TenantId, str]:
        """Tenants that are not published any more, and why."""
        return dict(self._backlog.stopped)

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until `stop` is set, through losses of the primary and of Kafka.

        Raises:
            PreconditionError: at the first attempt, Kafka or the primary refuses to work with us.
        """
        backoff_s = self._limits.backoff_s_min
        worked = False
        try:
            while not stop.is_set():
                try:
                    async with self._open_writer() as writer:
                        worked = True
                        self._start_over()
                        while not stop.is_set():
                            await self.round(writer)
                            backoff_s = self._limits.backoff_s_min
                            await self._rest(stop)
                except GrantlogError as error:
                    if not worked and isinstance(error, PreconditionError):
                        raise
                    tell = _LOG.warning if error.retriable else _LOG.error
                    tell("publishing interrupted", because=error.explanation, again_s=backoff_s)
                    await _pause(backoff_s, stop)
                    backoff_s = min(2 * backoff_s, self._limits.backoff_s_max)
        finally:
            await self._release()

    async def round(self, writer: TopicWriter) -> None:
        """Keep the leases, send one batch of what is behind, and heartbeats if they are due."""
        due = asyncio.get_running_loop().time() >= self._hold_at
        if due:
            await self._hold(writer)
        working = self._working()
        if not working:
            return
        moved = await self._log.heads_moved(self._mark)
        self._mark = moved.mark
        for tenant, head in moved.heads.items():
            if self._partition(tenant) in working:
                self._backlog.note(tenant, head.revision)
        self._backlog.aim(moved.through)
        await self._send_batch(writer)
        if due:
            await self._beat(writer)

    def _start_over(self, after_s: float = 0.0) -> None:
        """Forget what is in memory: the watermarks say what is published."""
        self._leases = {}
        self._troubles = {}
        self._hold_at = asyncio.get_running_loop().time() + after_s

    async def _rest(self, stop: asyncio.Event) -> None:
        if not self._working():
            until = self._hold_at - asyncio.get_running_loop().time()
            await _pause(max(until, 0.0), stop)
        elif not self._backlog:
            await self._log.wait(self._limits.poll_s)

    def _working(self) -> set[int]:
        return self._leases.keys() - self._troubles.keys()

    def _partition(self, tenant: TenantId) -> int:
        return partition_of(tenant, self._spec.partitions)

    async def _hold(self, writer: TopicWriter) -> None:
        """Renew and take leases. Whatever changed, what is sent then begins at the watermarks."""
        spec = self._spec
        held = await self._outbox.hold(
            self._limits.lease_s, name=spec.name, partitions=spec.partitions
        )
        leases = {lease.partition: lease for lease in held}
        self._hold_at = asyncio.get_running_loop().time() + self._limits.hold_s
        await self._look_behind(leases)
        epoch = await self._outbox.epoch()
        troubles = await self._compare_ends(writer, leases)
        same = (
            epoch == self._epoch
            and troubles.keys() == self._troubles.keys()
            and _epochs(leases) == _epochs(self._leases)
        )
        self._leases, self._troubles, self._epoch = leases, troubles, epoch
        if not same:
            working = self._working()
            self._mark = None
            self._backlog = Backlog(await self._outbox.marks(working))
            _LOG.info("publishing", partitions=sorted(working), epoch=epoch)

    async def _look_behind(self, leases: dict[int, Lease]) -> None:
        """Of partitions that were just taken, see what the topic has and the log may lack."""
        known = _epochs(self._leases)
        taken = [each for each in leases.values() if known.get(each.partition) is None]
        if taken and self._look_back is not None:
            await self._look_back(taken)

    async def _compare_ends(self, writer: TopicWriter, leases: dict[int, Lease]) -> dict[int, str]:
        """By partition, why the topic is not what it was: it ends before what was acknowledged."""
        ends = await writer.ends(leases)
        troubles = {
            partition: (
                f"the topic ends at offset {ends[partition]}, but offset "
                f"{lease.acknowledged_offset} was acknowledged: it was truncated or made anew; "
                "run `grantlog topic republish`"
            )
            for partition, lease in leases.items()
            if ends[partition] <= lease.acknowledged_offset
        }
        for partition, text in troubles.items():
            if partition not in self._troubles:
                _LOG.error("not publishing", partition=partition, because=text)
        await self._outbox.tell_trouble({each: troubles.get(each, "") for each in leases})
        return troubles

    async def _send_batch(self, writer: TopicWriter) -> None:
        """Send what follows the places of some tenants that are behind, and mark it."""
        turn = self._backlog.turn(self._limits.batch_tenants_max)
        if not turn:
            return
        parts = await self._outbox.unpublished(turn, bytes_max=self._limits.batch_bytes_max)
        sendable = self._backlog.sendable(parts, [tenant for tenant, _ in turn])
        await self._send(writer, await self._events(sendable), {}, sendable)

    async def _beat(self, writer: TopicWriter) -> None:
        """Say on every partition what is complete."""
        through = self._backlog.through
        if through is None:
            return
        beats = [
            heartbeat_message(
                partition=each, fence=self._fence(each), through=through, form=self._spec.form
            )
            for each in sorted(self._working())
        ]
        await self._send(writer, beats, dict.fromkeys(self._working(), through), [])

    async def _send(
        self,
        writer: TopicWriter,
        messages: Sequence[Outgoing],
        through: dict[int, datetime],
        parts: Sequence[Part],
    ) -> None:
        """Send, remember and mark it. A lease that was lost meanwhile is given up."""
        if not messages:
            return
        offsets = await writer.send(messages)
        if any(
            0 <= offset <= self._leases[partition].acknowledged_offset
            for partition, offset in offsets.items()
        ):
            self._start_over(self._limits.hold_s)  # another topic of that name: the ends will tell
            return
        self._backlog.sent(parts)
        done = Acknowledged(offsets, through)
        for tenant in {part.tenant for part in parts}:
            done.revisions[tenant] = (
                self._partition(tenant),
                self._backlog.place(tenant).published,
            )
        kept = await self._outbox.acknowledge(self._leases, done)
        if lost := offsets.keys() - kept:
            _LOG.warning("another publisher took over", partitions=sorted(lost))
            self._start_over(self._limits.hold_s)
            return
        for partition, offset in offsets.items():
            lease = self._leases[partition]
            self._leases[partition] = replace(lease, acknowledged_offset=offset)

    def _fence(self, partition: int) -> Fence:
        return Fence(self._epoch, self._leases[partition].publisher_epoch)

    async def _events(self, parts: Sequence[Part]) -> list[Outgoing]:
        if self._spec.form == "json":  # a part takes up to a tenth of a second
            return await asyncio.to_thread(lambda: [self._event(part) for part in parts])
        return [self._event(part) for part in parts]

    def _event(self, part: Part) -> Outgoing:
        partition = self._partition(part.tenant)
        return event_message(
            part, partition=partition, fence=self._fence(partition), form=self._spec.form
        )

    async def _release(self) -> None:
        """Let a successor begin at once; if the primary does not answer, it waits for the lease."""
        with suppress(GrantlogError):
            await self._outbox.release()


def _epochs(leases: dict[int, Lease]) -> dict[int, int]:
    return {partition: lease.publisher_epoch for partition, lease in leases.items()}


async def _pause(seconds: float, stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
