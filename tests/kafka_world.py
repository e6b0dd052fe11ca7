"""A primary in memory, a follower on the log from Kafka, and a topic that a test plays."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime

from grantlog.app.project import FollowLimits, Projector
from grantlog.changelog.kafka.feed import Feed
from grantlog.changelog.kafka.log import KafkaChangeLog
from grantlog.changelog.kafka.message import (
    Fence,
    Outgoing,
    event_message,
    heartbeat_message,
    partition_of,
)
from grantlog.changelog.kafka.source import Records
from grantlog.changelog.parts import Part
from grantlog.model.change import Transaction
from grantlog.model.ids import Epoch, TenantId
from grantlog.testing.contracts.places import Primary
from grantlog.wire.event import encode_transaction
from tests.contract.memory import memory_primary, memory_replica

PARTITIONS = 2
TENANTS = (TenantId("acme"), TenantId("other"), TenantId("fifth"))
assert {partition_of(tenant, PARTITIONS) for tenant in TENANTS} == {0, 1}


@dataclass
class Record:
    """What a consumer hands on."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int = 0


class Played:
    """A source that is never read: a test hands records to the feed."""

    name = "nowhere"

    def placed(self) -> AbstractAsyncContextManager[Records]:
        raise AssertionError


@dataclass
class World:
    """A primary, a follower, and a topic that a test plays."""

    primary: Primary = field(default_factory=memory_primary)
    now: float = 0.0
    waiting: list[Outgoing] = field(default_factory=list)
    sent: list[Outgoing] = field(default_factory=list)
    published: dict[TenantId, int] = field(default_factory=dict)
    epoch: int = 1
    publisher: int = 1
    lied: bool = False
    """Kafka lost what it had acknowledged: its heartbeats promise too much until a comparison."""

    def __post_init__(self) -> None:
        self.feed = Feed(Played(), topic="t", partitions=PARTITIONS, clock=lambda: self.now)
        self.log = KafkaChangeLog(self.feed, self.primary.log)
        self.replica = memory_replica()
        self.projector = Projector(self.log, self.replica.projection, FollowLimits(changes_max=4))
        self.count = 0
        self.feed.begin()

    async def write(self, tenant: TenantId, size: int) -> None:
        self.count += 1
        await self.primary.put(
            *(f"doc:{self.count}#viewer@user:{n}" for n in range(size)), tenant=tenant
        )

    async def publish(self) -> datetime:
        """What a publisher does: everything behind the watermark, and the time before which."""
        moved = await self.primary.log.heads_moved(None)
        for tenant in moved.heads:
            for entry in await self.primary.history(tenant):
                if entry.revision > self.published.get(tenant, 0):
                    self.waiting += self.messages(entry)
                    self.published[tenant] = entry.revision
        return moved.through

    def messages(self, entry: Transaction) -> list[Outgoing]:
        """The parts of a transaction; data is cut after each change."""
        payloads = encode_transaction(entry)
        fence = Fence(Epoch(self.epoch), self.publisher)
        return [
            event_message(
                Part(entry.tenant, entry.revision, number, len(payloads), entry.epoch, payload),
                partition=partition_of(entry.tenant, PARTITIONS),
                fence=fence,
            )
            for number, payload in enumerate(payloads)
        ]

    def lose(self, messages: list[Outgoing]) -> None:
        """A publisher died before it sent these: its successor begins at the watermark."""
        for message in messages:
            if message.key is not None:
                tenant = TenantId(message.key.decode())
                lost = int(dict(message.headers)["grantlog-revision"])
                self.published[tenant] = min(self.published.get(tenant, 0), lost - 1)

    def beat(self, through: datetime) -> None:
        fence = Fence(Epoch(self.epoch), self.publisher)
        self.waiting += [
            heartbeat_message(partition=n, fence=fence, through=through) for n in range(PARTITIONS)
        ]

    async def deliver(self, message: Outgoing) -> None:
        self.sent.append(message)
        record = Record("t", message.partition, len(self.sent), message.key, message.value,
                        message.headers)  # fmt: skip
        await self.feed.take(record)

    async def foreign(self, tenant: TenantId, ahead: int) -> None:
        """A transaction of a life of the log that was lost, or was never: it fits nowhere."""
        entries = await self.primary.history(tenant)
        if not entries:
            return
        last = entries[-1]
        other = replace(
            last,
            epoch=Epoch(last.epoch - ahead),
            revision=last.revision + ahead,
            previous_digest=last.digest if ahead else last.previous_digest,
            digest=b"o" * 16,
        )
        for message in self.messages(other):
            await self.deliver(message)

    async def flow(self) -> None:
        """A publisher sends all there is and says so, and it arrives."""
        self.beat(await self.publish())
        while self.waiting:
            await self.deliver(self.waiting.pop(0))

    async def round(self) -> None:
        await self.projector.round()

    async def is_equal(self) -> bool:
        for tenant in TENANTS:
            ours = await self.primary.projection.digest(tenant)
            if ours != await self.replica.projection.digest(tenant):
                return False
        return True
