"""A primary with its writer and its log, and what a test does with its topic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from grantlog.changelog.kafka.client import KafkaOptions
from grantlog.changelog.kafka.message import EventMessage, HeartbeatMessage, read_message
from grantlog.changelog.kafka.opening import open_agreed_writer
from grantlog.changelog.kafka.producer import TopicWriter
from grantlog.changelog.kafka.publisher import Publisher
from grantlog.changelog.kafka.publishing import PublishLimits
from grantlog.changelog.kafka.topic import TopicSpec
from grantlog.changelog.postgres.log import open_change_log
from grantlog.changelog.postgres.outbox import Outbox
from grantlog.store.postgres.pool import INDEX_PLANS, open_pool
from grantlog.testing.contracts.places import Primary
from tests.contract.postgres import postgres_primary
from tests.waiting import until

QUICK = PublishLimits(lease_s=1.0, hold_s=0.1, poll_s=0.05, backoff_s_min=0.05, backoff_s_max=0.5)


@dataclass
class Stage:
    """One primary and one topic."""

    dsn: str
    primary: Primary
    options: KafkaOptions
    spec: TopicSpec
    limits: PublishLimits = field(default=QUICK)

    @asynccontextmanager
    async def publisher(
        self, owner: str = "one", wrap: Callable[[TopicWriter], TopicWriter] = lambda writer: writer
    ) -> AsyncIterator[Publisher]:
        """A publisher that is not running."""

        @asynccontextmanager
        async def opened() -> AsyncIterator[TopicWriter]:
            async with open_agreed_writer(self.options, self.spec, outbox) as writer:
                yield wrap(writer)

        async with (
            open_pool(self.dsn, size_max=3, application_name=owner, settings=INDEX_PLANS) as pool,
            open_change_log(pool, listen_dsn=self.dsn) as log,
        ):
            outbox = Outbox(pool, owner=owner)
            yield Publisher(
                log,
                outbox,
                opened,
                spec=self.spec,
                limits=self.limits,
            )

    @asynccontextmanager
    async def publishing(
        self, owner: str = "one", wrap: Callable[[TopicWriter], TopicWriter] = lambda writer: writer
    ) -> AsyncIterator[Publisher]:
        """A publisher that runs for the block."""
        stop = asyncio.Event()
        async with self.publisher(owner, wrap) as publisher, asyncio.TaskGroup() as group:
            group.create_task(publisher.run(stop))
            try:
                yield publisher
            finally:
                stop.set()

    async def messages(self) -> list[EventMessage | HeartbeatMessage]:
        """All that is on the topic now, partition by partition."""
        consumer = AIOKafkaConsumer(**self.options.arguments("test"), enable_auto_commit=False)
        found = []
        async with consumer:
            places = [TopicPartition(self.spec.name, n) for n in range(self.spec.partitions)]
            begins = await consumer.beginning_offsets(places)
            ends = await consumer.end_offsets(places)
            for place in places:
                consumer.assign([place])
                consumer.seek(place, begins[place])
                while await consumer.position(place) < ends[place]:
                    for records in (await consumer.getmany(timeout_ms=200)).values():
                        found += [read_message(r.key, r.value, r.headers) for r in records]
        return found

    async def events(self) -> list[tuple[str, int, int]]:
        """Tenant, revision and part of every event on the topic."""
        return [
            (each.tenant, each.revision, each.part)
            for each in await self.messages()
            if isinstance(each, EventMessage)
        ]

    async def reach(self, wanted: set[tuple[str, int, int]]) -> None:
        """Return when all these events are on the topic."""

        async def there() -> bool:
            return wanted <= set(await self.events())

        await until(there, within_s=60)


@pytest.fixture
async def stage(
    kafka: str, new_topic: Callable[[], str], migrated_database: Callable[..., Awaitable[str]]
) -> AsyncIterator[Stage]:
    dsn = await migrated_database()
    async with postgres_primary(dsn) as primary:
        yield Stage(dsn, primary, KafkaOptions(kafka), TopicSpec(new_topic(), partitions=2))


@pytest.fixture
async def replica_dsn(migrated_database: Callable[..., Awaitable[str]]) -> str:
    return await migrated_database(seed=False)
