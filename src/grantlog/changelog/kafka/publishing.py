"""Publishing over one connection: a batch is read while the one before it is being acknowledged.

Reading and sending alone are in the way of an event. Leases are renewed (`holding.py`) and marks
made (`marking.py`) beside them. A batch goes out when the one before it is on the topic.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Final, Self

import structlog

from grantlog.changelog.kafka.backlog import Backlog
from grantlog.changelog.kafka.holding import NOTHING_HELD, Holder
from grantlog.changelog.kafka.marking import Marker
from grantlog.changelog.kafka.message import (
    Fence,
    Outgoing,
    event_message,
    heartbeat_message,
    partition_of,
)
from grantlog.changelog.kafka.producer import Sent
from grantlog.changelog.kafka.sending import Sender
from grantlog.changelog.kafka.topic import TopicSpec
from grantlog.changelog.parts import Part
from grantlog.changelog.postgres.outbox import Acknowledged, Lease, Outbox
from grantlog.model.ids import TenantId
from grantlog.ports.log import ChangeLog
from grantlog.waiting import set_within

_LOG: Final = structlog.get_logger("grantlog.publish")


@dataclass(frozen=True, slots=True)
class PublishLimits:
    """The bounds of publishing."""

    lease_s: float = 5.0
    """A publisher that does not renew its leases for so long is succeeded by another."""
    hold_s: float = 1.0
    """Between renewals, and between heartbeats."""
    poll_s: float = 0.2
    """Without a signal, the log is looked at so often."""
    pace_s: float = 0.02
    """Where something was to be sent, the next look begins so long behind the last one: every look
    costs the primary and Kafka the same, whatever it finds. The first event behind a pause is not
    kept waiting."""
    batch_bytes_max: int = 4 * 1024 * 1024
    """Payloads read and sent at once; a single part may be larger."""
    batch_tenants_max: int = 500
    """Tenants whose transactions are read at once."""
    backoff_s_min: float = 0.1
    backoff_s_max: float = 5.0


class Publishing:
    """What a publisher does with one writer. See the module.

    Args:
        log: tells which tenants moved, and when.
        outbox: has what is to be sent.
        sender: sends to the topic.
        holder: keeps the leases.
        marker: marks what was sent.
        spec: what the topic is like.
        limits: bounds.
    """

    def __init__(
        self,
        log: ChangeLog,
        outbox: Outbox,
        sender: Sender,
        *,
        holder: Holder,
        marker: Marker,
        spec: TopicSpec,
        limits: PublishLimits,
    ) -> None:
        self._log = log
        self._outbox = outbox
        self._sender = sender
        self._holder = holder
        self._marker = marker
        self._spec = spec
        self._limits = limits
        self.held = NOTHING_HELD
        """The leases that this works under."""
        self.backlog = Backlog()
        """What is to be sent, behind what is being sent. Only memory: the marks in the primary say
        what is published."""
        self.got_through = False
        """Whether Kafka acknowledged something, or nothing was to be sent."""
        self._mark: str | None = None
        self._begun_at = 0.0
        self._found = False
        """Whether the last round had something to send: then there soon is more."""
        self._hold_at = 0.0
        self._asked_at = 0.0
        self._sure_until = 0.0
        """Behind it another publisher may have the leases."""
        self._beat_at = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Begin nothing more. Without a failure the group still marks what was sent."""
        self._holder.drop()
        if error is None:
            await self._sender.done()
            return
        self._sender.drop()
        self._marker.drop()

    async def round(self) -> None:
        """Look after the leases, and send one batch of what is behind, and heartbeats if due."""
        self._begun_at = _now()
        self._found = False
        await self._renew()
        if not self._is_working():
            return
        working = self.held.working
        moved = await self._log.heads_moved(self._mark)
        self._mark = moved.mark
        for tenant, head in moved.heads.items():
            if self._partition(tenant) in working:
                self.backlog.note(tenant, head.revision)
        self.backlog.aim(moved.through)
        await self._send_batch()

    def _is_working(self) -> bool:
        """Whether there are partitions to publish; not, if another publisher turned out to be."""
        if lost := self._marker.lost():
            _LOG.warning("another publisher took over", partitions=sorted(lost))
            self._start_over()
        return bool(self.held.working)

    async def rest(self, stop: asyncio.Event) -> None:
        """Return when there may be something to do."""
        if not self.held.working:
            await set_within(stop, max(self._hold_at - _now(), 0.0))
        elif self._found and not self.backlog:
            await set_within(stop, max(self._begun_at + self._limits.pace_s - _now(), 0.0))
        elif not self.backlog:
            await self._log.wait(self._limits.poll_s)

    async def _renew(self) -> None:
        """Have leases renewed when it is time, and work under what was found."""
        if _now() >= self._hold_at:
            self._hold_at = _now() + self._limits.hold_s
            if self._holder.begin(self.held):
                self._asked_at = _now()
        found = await self._holder.found(wait=not self.held.working)
        if found is None:
            return
        self._sure_until = self._asked_at + self._limits.lease_s
        if found.works_as(self.held):
            self.held = found.at_least(self.held)
            return
        # Whatever changed, what is sent from here on begins at the marks.
        await self._sender.done()
        await self._marker.flush()
        self._marker.lost()  # of leases that are given up with this
        self.held, self._mark = found, None
        self.backlog = Backlog(await self._outbox.marks(found.working))
        self._beat_at = 0.0
        _LOG.info("publishing", partitions=sorted(found.working), epoch=found.epoch)

    def _start_over(self) -> None:
        """Give everything up for a while: what is held is another's, or the topic is another."""
        self._holder.drop()
        self.held = NOTHING_HELD
        self._hold_at = _now() + self._limits.hold_s

    def _partition(self, tenant: TenantId) -> int:
        return partition_of(tenant, self._spec.partitions)

    async def _send_batch(self) -> None:
        """Begin to send what follows the places of some tenants, and to say what is complete."""
        turn = self.backlog.turn(self._limits.batch_tenants_max)
        parts: list[Part] = []
        if turn:
            found = await self._outbox.unpublished(turn, bytes_max=self._limits.batch_bytes_max)
            parts = self.backlog.sendable(found, [tenant for tenant, _ in turn])
            self._found = bool(parts)
        messages = await self._events(parts)
        if not messages and self._sender.busy and not self._beat_due():
            return  # whoever waited here would read later what comes meanwhile
        await self._sender.done()
        if not self._is_working():
            return
        through: dict[int, datetime] = {}
        if self.backlog.through is not None and self._beat_due():
            self._beat_at = _now() + self._limits.hold_s
            through = dict.fromkeys(sorted(self.held.working), self.backlog.through)
            messages += [self._beat(partition, time) for partition, time in through.items()]
        if not messages:
            self.got_through = True
        else:
            self.backlog.sent(parts)
            done = Acknowledged(through=through)
            for tenant in {part.tenant for part in parts}:
                published = self.backlog.place(tenant).published
                done.revisions[tenant] = (self._partition(tenant), published)
            self._sender.begin(messages, partial(self._sent, self.held.leases, done))

    def _beat_due(self) -> bool:
        return _now() >= self._beat_at

    async def _sent(
        self, leases: Mapping[int, Lease], done: Acknowledged, sent: Mapping[int, Sent]
    ) -> None:
        """Have it marked under these leases that a batch is on the topic."""
        if anew := [p for p, got in sent.items() if got.lowest in _held_by(leases[p])]:
            self._holder.distrust({p: (sent[p].lowest, leases[p]) for p in anew})
            self._start_over()
            return
        self.got_through = True
        offsets = {partition: got.highest for partition, got in sent.items()}
        done.offsets |= offsets
        self._marker.note(leases, done)
        if _now() >= self._sure_until:  # it slept: the mark tells whose the leases are
            await self._marker.flush()
        self.held = self.held.acknowledged(offsets)

    def _fence(self, partition: int) -> Fence:
        return Fence(self.held.epoch, self.held.leases[partition].publisher_epoch)

    async def _events(self, parts: Sequence[Part]) -> list[Outgoing]:
        if self._spec.form == "json":  # a part takes up to a tenth of a second
            return await asyncio.to_thread(lambda: [self._event(part) for part in parts])
        return [self._event(part) for part in parts]

    def _event(self, part: Part) -> Outgoing:
        partition = self._partition(part.tenant)
        return event_message(
            part, partition=partition, fence=self._fence(partition), form=self._spec.form
        )

    def _beat(self, partition: int, through: datetime) -> Outgoing:
        return heartbeat_message(
            partition=partition,
            fence=self._fence(partition),
            through=through,
            form=self._spec.form,
        )


def _held_by(lease: Lease) -> range:
    """The offsets that messages have already: another one that gets one is on another topic."""
    return range(lease.acknowledged_offset + 1)


def _now() -> float:
    return asyncio.get_running_loop().time()
