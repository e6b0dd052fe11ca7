"""The change log as followers read it from Kafka, with the primary behind it.

The topic is quick; the primary is right. A follower begins at the topic's end and at the primary's
heads, read in this order, so that nothing falls between. What the topic brings moves heads and is
read from memory; a gap, a doubt, or the past is read from the primary. While the topic is silent
(its publisher beats every second), the primary is asked instead: slower, never wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import structlog

from grantlog.background import background_tasks
from grantlog.changelog.counts import TopicCounts
from grantlog.changelog.kafka.client import KafkaOptions
from grantlog.changelog.kafka.feed import GATHER_S, Feed, Publishers
from grantlog.changelog.kafka.intake import Counters
from grantlog.changelog.kafka.opening import own_source, shared_source
from grantlog.changelog.kafka.source import Source
from grantlog.changelog.kafka.topic import TopicSpec
from grantlog.changelog.postgres.log import PostgresChangeLog
from grantlog.changelog.postgres.mark import LONG_AGO
from grantlog.changelog.postgres.outbox import Outbox
from grantlog.model.change import Transaction
from grantlog.model.ids import Revision, TenantId
from grantlog.ports.log import ChangeLog, HeadsMoved, LogHead, Position, TenantLog
from grantlog.store.postgres.pool import Pool
from grantlog.waiting import set_within

_LOG: Final = structlog.get_logger("grantlog.kafka")

COMPARE_S: Final = 2.0
"""Between comparisons with the primary's heads."""

PATIENCE_S: Final = 1.0
"""What a comparison finds lacking may still be under way for so long."""

IDLE_ROUNDS_OF_TENANTS: Final = 100
"""A follower that has a tenant's changes from elsewhere, its own writes say, reads none here."""


class _Reader:
    """Reading transactions, and waiting for them."""

    def __init__(self, feed: Feed, primary: TenantLog) -> None:
        self._feed = feed
        self._behind = primary

    @property
    def counters(self) -> Counters:
        """What was met on the topic."""
        return self._feed.intake.counters

    @property
    def lively(self) -> bool:
        """Whether the topic is relied upon at the moment."""
        return self._feed.lively

    async def read(
        self, tenant: TenantId, *, after: Revision, changes_max: int
    ) -> Sequence[Transaction]:
        """Whole transactions behind `after`, in order; at least one if there is any."""
        intake = self._feed.intake
        page = intake.read(tenant, after=after, changes_max=changes_max)
        self._feed.room.set()
        if page:
            return page
        older = await self._behind.read(tenant, after=after, changes_max=changes_max)
        if older:
            intake.counters.read_in_primary += len(older)
            intake.passed(tenant, older[-1].revision)
        return older

    async def wait(self, timeout_s: float) -> None:
        """Return when something may have been committed, at the latest after `timeout_s`."""
        if not self._feed.lively:
            await self._behind.wait(timeout_s)
            return
        await set_within(self._feed.woken, timeout_s)


class KafkaChangeLog(_Reader):
    """The log of all tenants, for one follower. See the module and the port."""

    def __init__(self, feed: Feed, primary: ChangeLog) -> None:
        super().__init__(feed, primary)
        self._primary = primary
        self._clock = feed.clock
        self._primary_mark: str | None = None
        self._compare_at = 0.0
        self._placing = -1
        self._lacking: dict[TenantId, Position] = {}
        self._lacking_due = 0.0
        self._through = LONG_AGO

    async def heads_of(
        self, tenants: Collection[TenantId], *, now: bool = False
    ) -> dict[TenantId, LogHead]:
        """Where these tenants' logs end; the primary is asked."""
        return await self._primary.heads_of(tenants, now=now)

    async def heads_moved(self, mark: str | None) -> HeadsMoved:
        """Heads that moved since `mark`; None means all: the primary is asked for them."""
        feed = self._feed
        placing = feed.next_round()
        if mark is None:
            self._primary_mark = None
            feed.heads.clear()
        at_once = mark is None or not feed.lively or placing != self._placing
        if at_once or self._clock() >= self._compare_at:
            await self._compare(at_once=at_once)
            self._placing = placing
        await self._settle()
        if feed.lively and feed.intake.through is not None:
            self._through = max(self._through, feed.intake.through)
        heads = feed.heads
        moved = heads.moved_since(int(mark or 0))
        return HeadsMoved(moved, str(heads.moves), self._through)

    async def read_several(
        self, places: Mapping[TenantId, Revision], *, changes_max: int
    ) -> Sequence[Transaction]:
        """As `read`, of several tenants in one go; what the topic lacks is read together."""
        intake = self._feed.intake
        found: list[Transaction] = []
        lacking: dict[TenantId, Revision] = {}
        for tenant, after in places.items():
            if changes_max <= 0:
                break
            page = intake.read(tenant, after=after, changes_max=changes_max)
            changes_max -= sum(transaction.size for transaction in page)
            found += page
            if not page:
                lacking[tenant] = after
        self._feed.room.set()
        if lacking and changes_max > 0:
            older = await self._primary.read_several(lacking, changes_max=changes_max)
            intake.counters.read_in_primary += len(older)
            for tenant, revision in {each.tenant: each.revision for each in older}.items():
                intake.passed(tenant, revision)
            found += older
        return found

    async def _compare(self, *, at_once: bool) -> None:
        """Look at the primary's heads; what is lacking here is told, unless it comes soon."""
        moved = await self._primary.heads_moved(self._primary_mark)
        self._primary_mark = moved.mark
        now = self._clock()
        self._compare_at = now + COMPARE_S
        lacking = self._feed.heads.lacking({**self._lacking, **moved.heads})
        if not at_once:
            self._lacking = lacking
            self._lacking_due = now + PATIENCE_S
            return
        self._lacking = {}
        self._feed.heads.settle(lacking)
        self._through = max(self._through, moved.through)

    async def _settle(self) -> None:
        """Tell what did not come in time, and ask about what does not fit."""
        heads = self._feed.heads
        if self._lacking and self._clock() >= self._lacking_due:
            lost = heads.lacking(self._lacking)
            self._lacking = {}
            heads.settle(lost)
            if lost:
                _LOG.warning("not on the topic, read from the primary", tenants=len(lost))
        await _decide(self._feed, self._primary)


class KafkaTenantLog(_Reader):
    """The log of the tenants that are asked for, for one follower. See the module and the port."""

    def __init__(self, feed: Feed, primary: TenantLog) -> None:
        super().__init__(feed, primary)
        self._primary = primary
        self._clock = feed.clock
        self._compare_at = 0.0
        self._placing = -1
        feed.want(frozenset())

    async def heads_of(
        self, tenants: Collection[TenantId], *, now: bool = False
    ) -> dict[TenantId, LogHead]:
        """Where these tenants' logs end; the topic is read for them until the next call."""
        if now:
            return await self._asked(tenants)
        feed = self._feed
        placing = feed.next_round(idle_max=IDLE_ROUNDS_OF_TENANTS)
        wanted = frozenset(tenants)
        feed.want(wanted)
        for tenant in feed.heads.keep_only(wanted):
            feed.intake.forget(tenant)
        unknown = {tenant for tenant in wanted if feed.heads.get(tenant) is None}
        if not feed.lively or placing != self._placing or self._clock() >= self._compare_at:
            unknown = wanted
            self._placing = placing
            self._compare_at = self._clock() + COMPARE_S
        if unknown:
            await self._asked(unknown)
        await _decide(feed, self._primary)
        found = {tenant: feed.heads.get(tenant) for tenant in wanted}
        return {tenant: head for tenant, head in found.items() if head is not None}

    async def _asked(self, tenants: Collection[TenantId]) -> dict[TenantId, LogHead]:
        """Where these tenants' logs end in the primary."""
        heads = await self._primary.heads_of(tenants, now=True)
        for tenant, head in heads.items():
            self._feed.heads.settle_one(tenant, head)
        return heads


async def _decide(feed: Feed, primary: TenantLog) -> None:
    """Ask the primary about tenants of which the topic said what does not fit."""
    doubts = list(feed.heads.doubts)
    if not doubts:
        return
    answer = await primary.heads_of(doubts, now=True)
    for tenant in doubts:
        feed.intake.drop(tenant)
        feed.heads.decide(tenant, answer.get(tenant))


@asynccontextmanager
async def open_feed(
    source: Source,
    spec: TopicSpec,
    publishers: Publishers,
    *,
    gather_s: float = GATHER_S,
) -> AsyncGenerator[Feed]:
    """The topic's feed for the block; the source need not answer yet. Arguments as of `Feed`."""
    feed = Feed(
        source,
        topic=spec.name,
        partitions=spec.partitions,
        clock=asyncio.get_running_loop().time,
        publishers=publishers,
        gather_s=gather_s,
    )
    async with background_tasks() as group:
        reading = group.create_task(feed.run(), name="topic feed")
        try:
            yield feed
        finally:
            reading.cancel()


@asynccontextmanager
async def open_kafka_change_log(
    options: KafkaOptions,
    spec: TopicSpec,
    pool: Pool,
    primary: PostgresChangeLog,
    *,
    gather_s: float = GATHER_S,
) -> AsyncGenerator[KafkaChangeLog]:
    """The log of all tenants for the block; errors as `own_source`.

    Args:
        options: how Kafka is reached.
        spec: the topic.
        pool: connections to the primary.
        primary: its log.
        gather_s: as of `Feed`.
    """
    outbox = Outbox(pool, owner="")
    source = await own_source(options, spec, outbox)
    async with open_feed(source, spec, outbox.publishers, gather_s=gather_s) as feed:
        yield KafkaChangeLog(feed, primary)


@asynccontextmanager
async def open_kafka_tenant_log(
    options: KafkaOptions,
    spec: TopicSpec,
    pool: Pool,
    primary: TenantLog,
    *,
    gather_s: float = GATHER_S,
    shared: Path | None = None,
    counts: TopicCounts | None = None,
) -> AsyncGenerator[KafkaTenantLog]:
    """The log of some tenants for the block; errors as `own_source` and `shared_source`.

    Args:
        options: how Kafka is reached.
        spec: the topic.
        pool: connections to the primary.
        primary: its log.
        gather_s: as of `Feed`.
        shared: the socket of this node's reader; None reads Kafka by a consumer of one's own.
        counts: where is counted what is read.
    """
    outbox = Outbox(pool, owner="")
    counts = counts or TopicCounts()
    if shared is None:
        source = await own_source(options, spec, outbox, counts)
    else:
        source = await shared_source(shared, options, spec, outbox, counts)
    async with open_feed(source, spec, outbox.publishers, gather_s=gather_s) as feed:
        yield KafkaTenantLog(feed, primary)
