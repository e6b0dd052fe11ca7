"""The relay from the primary's log to the topic: every transaction, in order, at least once.

One publisher works on each partition at a time; others stand by. What it may send again, and what
a predecessor that wakes up late sends, consumers recognise: by tenant, epoch and revision, and by
the fence that each message carries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Final

import structlog

from grantlog.background import background_tasks
from grantlog.changelog.kafka.holding import Holder, LookBack
from grantlog.changelog.kafka.marking import Marker
from grantlog.changelog.kafka.producer import TopicWriter
from grantlog.changelog.kafka.publishing import Publishing, PublishLimits
from grantlog.changelog.kafka.sending import Sender
from grantlog.changelog.kafka.topic import TopicSpec
from grantlog.changelog.postgres.outbox import Outbox
from grantlog.errors import GrantlogError, PreconditionError
from grantlog.model.ids import TenantId
from grantlog.ports.log import ChangeLog
from grantlog.waiting import Reminders, set_within

_LOG: Final = structlog.get_logger("grantlog.publish")

OpenWriter = Callable[[], AbstractAsyncContextManager[TopicWriter]]


class Publisher:
    """Publishes the partitions whose leases this process holds.

    Args:
        log: tells which tenants moved, and when.
        outbox: has the leases and what is to be sent.
        open_writer: a connection to the topic.
        spec: what the topic is like.
        limits: bounds, the defaults if None.
        look_back: see `LookBack`.
        kafka: where Kafka is, for the log.
    """

    def __init__(
        self,
        log: ChangeLog,
        outbox: Outbox,
        open_writer: OpenWriter,
        *,
        spec: TopicSpec,
        limits: PublishLimits | None = None,
        look_back: LookBack | None = None,
        kafka: str = "",
    ) -> None:
        self._kafka = kafka
        self._look_back = look_back
        self._log = log
        self._outbox = outbox
        self._open_writer = open_writer
        self._spec = spec
        self._limits = limits or PublishLimits()
        self._now: Publishing | None = None

    @property
    def held(self) -> frozenset[int]:
        """The partitions that this publisher works on."""
        return frozenset(self._now.held.leases) if self._now else frozenset()

    @property
    def troubles(self) -> dict[int, str]:
        """By partition, why nothing is sent there."""
        return dict(self._now.held.troubles) if self._now else {}

    @property
    def stopped(self) -> dict[TenantId, str]:
        """Tenants that are not published any more, and why."""
        return dict(self._now.backlog.stopped) if self._now else {}

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until `stop` is set, through losses of the primary and of Kafka.

        Raises:
            PreconditionError: at the first attempt, Kafka or the primary refuses to work with us.
        """
        backoff_s = self._limits.backoff_s_min
        told = Reminders()
        worked = False
        try:
            while not stop.is_set():
                try:
                    async with self._open_writer() as writer, background_tasks() as group:
                        worked = True
                        now = self._now = self._publishing(writer, group)
                        async with now:
                            while not stop.is_set():
                                await now.round()
                                if now.got_through:  # a round alone shows nothing of Kafka
                                    backoff_s = self._limits.backoff_s_min
                                    if now.held.working and not now.backlog:
                                        told.end()
                                await now.rest(stop)
                except GrantlogError as error:
                    if not worked and isinstance(error, PreconditionError):
                        raise
                    self._now = None  # it works on nothing
                    self._tell(error, told)
                    await set_within(stop, backoff_s)
                    backoff_s = min(2 * backoff_s, self._limits.backoff_s_max)
        finally:
            await self._release()

    def _tell(self, error: GrantlogError, told: Reminders) -> None:
        tell = _LOG.warning if error.retriable else _LOG.error
        kind = error.reason if error.retriable else error.explanation
        if told.due(kind, asyncio.get_running_loop().time()):
            tell("publishing interrupted", kafka=self._kafka, because=error.explanation)

    def _publishing(self, writer: TopicWriter, group: asyncio.TaskGroup) -> Publishing:
        holder = Holder(
            self._outbox,
            writer,
            spec=self._spec,
            lease_s=self._limits.lease_s,
            look_back=self._look_back,
            group=group,
        )
        return Publishing(
            self._log,
            self._outbox,
            Sender(writer, group),
            holder=holder,
            marker=Marker(self._outbox, group),
            spec=self._spec,
            limits=self._limits,
        )

    async def _release(self) -> None:
        """Let a successor begin at once; if the primary does not answer, it waits for the lease."""
        with suppress(GrantlogError):
            await self._outbox.release()
