"""Reading the topic for one follower, in the background, from its end on, through any loss."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final

import structlog

from grantlog.changelog.kafka.heads import FeedHeads
from grantlog.changelog.kafka.intake import Intake, Whole
from grantlog.changelog.kafka.message import (
    EventMessage,
    Fence,
    HeartbeatMessage,
    partition_of,
    read_message,
)
from grantlog.changelog.kafka.source import Record, Records, Source, keep_reading
from grantlog.changelog.parts import assembled
from grantlog.errors import CorruptionError, GrantlogError
from grantlog.model.ids import Epoch, TenantId
from grantlog.waiting import set_within

_LOG: Final = structlog.get_logger("grantlog.kafka")

SILENT_S_MAX: Final = 3.0
"""A partition that says nothing for so long is not relied upon: publishers beat every second."""

GATHER_S: Final = 0.005
"""What was taken is followed by nothing for so long: each fetch costs the same, whatever it has."""

UNWANTED_GATHER_S: Final = 0.1
"""The same while nobody wants anything that is on the topic."""

_RECORDS_AT_ONCE: Final = 50
"""Records taken in before other tasks go on."""

_ASK_AGAIN_S: Final = 1.0
"""Messages of publishers that nobody knows make the primary be asked no more often."""
_NO_FENCE: Final = (Epoch(0), -1)

Publishers = Callable[[], Awaitable[Mapping[int, tuple[Epoch, int]]]]


class Feed:
    """What the topic said since this follower began, and whether it still says something.

    Args:
        source: what is read.
        topic: its name, for people.
        partitions: its number of partitions.
        clock: seconds that never go back.
        publishers: by partition, the highest fence that the primary gave away; None trusts all.
        gather_s: how long what was taken is followed by nothing, so that more comes at once.
    """

    def __init__(
        self,
        source: Source,
        *,
        topic: str,
        partitions: int,
        clock: Callable[[], float],
        publishers: Publishers | None = None,
        gather_s: float = GATHER_S,
    ) -> None:
        self._gather_s = gather_s
        self._publishers = publishers
        self._fences: Mapping[int, tuple[Epoch, int]] = {}
        self._ask_again_at = 0.0
        self.intake = Intake(partitions)
        self.heads = FeedHeads()
        self.woken = asyncio.Event()
        """Set when something came; whoever waits for it clears it before it looks."""
        self.room = asyncio.Event()
        """To be set when something was taken out of the intake."""
        self.placings = 0
        """How often this began at the topic's end; what was sent before is asked of the primary."""
        self.wants: Callable[[TenantId], bool] = _everyone
        """Transactions of other tenants are not kept; `want` tells which."""
        self._wanted = asyncio.Event()
        """Set unless nobody wants anything."""
        self._wanted.set()
        self._source = source
        self._topic = topic
        self._partitions = partitions
        self._heard: list[float] | None = None
        self.clock = clock

    @property
    def lively(self) -> bool:
        """Whether every partition said something lately."""
        if self._heard is None:
            return False
        return self.intake.full or self.clock() - min(self._heard) <= SILENT_S_MAX

    def want(self, tenants: frozenset[TenantId]) -> None:
        """Keep transactions of these tenants alone; while there are none, read more rarely."""
        self.wants = tenants.__contains__
        if tenants:
            self._wanted.set()
        else:
            self._wanted.clear()

    def next_round(self, *, idle_max: int | None = None) -> int:
        """The follower is about to look at all heads; `placings`, as they are at this moment.

        Args:
            idle_max: as of `Intake.next_round`.
        """
        self.woken.clear()
        self.intake.next_round(idle_max=idle_max)
        self.room.set()
        return self.placings

    async def run(self) -> None:
        """Read until cancelled."""
        await keep_reading(self._source, self._placed, self._lost, self.clock)

    def _placed(self, records: Records) -> Callable[[], Awaitable[bool]]:
        self.begin()
        return partial(self._take_some, records)

    def begin(self) -> None:
        """The topic is read from its present end."""
        self.intake.forget_place()
        self._heard = [self.clock()] * self._partitions
        self.placings += 1
        self.woken.set()

    def _lost(self, failure: GrantlogError | None) -> None:
        """What was read is not continued, and not relied upon; whoever waits asks elsewhere."""
        del failure
        self._heard = None
        self.woken.set()

    async def _take_some(self, records: Records) -> bool:
        """Take in what came within a moment; whether anything did."""
        while self.intake.full:  # the source holds what it fetched, and fetches no more
            self.room.clear()
            await self.room.wait()
        found = await records.some()
        for count, record in enumerate(found, 1):
            await self.take(record)
            if count % _RECORDS_AT_ONCE == 0:
                await asyncio.sleep(0)
        if found:
            self.woken.set()
            # The source gathers meanwhile.
            if not self._wanted.is_set():
                await set_within(self._wanted, UNWANTED_GATHER_S)
            else:
                await asyncio.sleep(self._gather_s)
        return bool(found)

    async def take(self, record: Record) -> None:
        """Make of one record what it is worth. Nothing that it may hold is an error here."""
        partition = record.partition
        if partition >= self._partitions:
            self._refuse(record, CorruptionError("the log's topic has no such partition"))
            return
        if self._heard is not None:
            self._heard[partition] = self.clock()
        try:
            message = read_message(record.key, record.value, record.headers)
            await self._require_ours(partition, message)
            if not self.intake.admits(partition, message.fence):
                return
            match message:
                case HeartbeatMessage():
                    self.intake.beat(partition, message)
                case EventMessage():
                    if self.wants(message.tenant):
                        whole = self.intake.collect(message)
                        if whole is not None:
                            await self._keep(whole)
        except CorruptionError as error:
            self._refuse(record, error)

    async def _require_ours(self, partition: int, message: EventMessage | HeartbeatMessage) -> None:
        """Refuse a message in a place that is not its own, or with a fence that nobody was given.

        Such a fence would shut every real publisher out.

        Raises:
            CorruptionError: it is so.
        """
        if isinstance(message, EventMessage):
            own = partition_of(message.tenant, self._partitions)
            if own != partition:
                raise CorruptionError(f"its tenant's place is partition {own}")
        fence = message.fence
        if fence > await self._highest_fence(partition, fence):
            raise CorruptionError(
                f"its publisher ({fence.epoch}.{fence.publisher_epoch}) is none that the primary "
                "knows"
            )

    async def _highest_fence(self, partition: int, met: Fence) -> tuple[int, int]:
        """The highest fence that the primary gave away, as far as that can be known."""
        if self._publishers is None:
            return met
        known = self._fences.get(partition, _NO_FENCE)
        if met > known and self.clock() >= self._ask_again_at:
            try:
                self._fences = await self._publishers()
            except GrantlogError:
                return met  # nobody can tell: what it says is compared with the primary anyway
            known = self._fences.get(partition, _NO_FENCE)
            if met > known:
                self._ask_again_at = self.clock() + _ASK_AGAIN_S
        return known

    async def _keep(self, whole: Whole) -> None:
        transaction = await assembled(whole.tenant, whole.revision, whole.payloads)
        if self.heads.follow(transaction):
            self.intake.keep(transaction, whole.size)
        else:
            self.intake.counters.refused += 1
            self.intake.drop(whole.tenant)

    def _refuse(self, record: Record, error: CorruptionError) -> None:
        """Name a message that nobody can use; the primary is asked about its tenant."""
        self.intake.counters.refused += 1
        _LOG.error(
            "message refused",
            topic=self._topic,
            partition=record.partition,
            offset=record.offset,
            because=error.explanation,
        )
        with suppress(UnicodeDecodeError):
            tenant = TenantId((record.key or b"").decode())
            if tenant and self.wants(tenant):
                self.heads.doubts.add(tenant)
                self.intake.drop(tenant)


def _everyone(tenant: TenantId) -> bool:
    del tenant
    return True
