"""Sending to the topic: everything of a call is acknowledged, or the connection is given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, NamedTuple, Protocol

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import RecordMetadata

from grantlog.changelog.kafka.client import (
    START_S_MAX,
    KafkaOptions,
    closed,
    new_consumer,
    translating_kafka,
)
from grantlog.changelog.kafka.message import JSON_MESSAGE_BYTES_MAX, Outgoing
from grantlog.changelog.kafka.refusal import connecting_kafka
from grantlog.errors import GrantlogError

SEND_S_MAX: Final = 30.0
"""How long one call waits for its acknowledgements. The client itself would try for ever."""

_BATCH_BYTES_MAX: Final = 256 * 1024
_STOP_S_MAX: Final = 2.0

EndsOf = Callable[[Collection[int]], Awaitable[dict[int, int]]]
"""By partition, the offset that the next message gets."""


class Sent(NamedTuple):
    """The offsets that the messages of one call got in one partition; -1 where none is known."""

    lowest: int
    highest: int

    def with_one(self, offset: int) -> Sent:
        """The same with another message's offset."""
        known = [each for each in (self.lowest, offset) if each >= 0]
        return Sent(min(known, default=-1), max(self.highest, offset))


_NONE: Final = Sent(-1, -1)


class TopicWriter(Protocol):
    """The topic, as a publisher sees it."""

    async def ends(self, partitions: Collection[int]) -> dict[int, int]:
        """By partition, the offset that the next message gets.

        Raises:
            UnavailableError: Kafka does not answer.
        """
        ...

    async def send(self, messages: Sequence[Outgoing]) -> dict[int, Sent]:
        """Send in order within each partition; by partition, the offsets acknowledged.

        Raises:
            UnavailableError: not all were acknowledged; any part of them may be on the topic, now
                or later. The writer cannot be used any more.
        """
        ...


class _Producer(AIOKafkaProducer):
    """A producer that can be closed without waiting for what it holds.

    An idempotent producer of aiokafka tries for ever, and `stop` waits for that. Whoever lost a
    lease or must end has no use for it.
    """

    async def abandon(self) -> None:
        if self._closed:
            return
        self._closed = True
        with suppress(GrantlogError), translating_kafka("closing"):
            async with asyncio.timeout(_STOP_S_MAX):  # a request in flight ends with its connection
                await self._sender.close()
        await closed(self.client.close)


class KafkaTopicWriter:
    """See TopicWriter."""

    def __init__(self, producer: AIOKafkaProducer, ends_of: EndsOf, topic: str) -> None:
        self._producer = producer
        self._ends_of = ends_of
        self._topic = topic

    async def ends(self, partitions: Collection[int]) -> dict[int, int]:
        """By partition, the offset that the next message gets."""
        return await self._ends_of(partitions)

    async def send(self, messages: Sequence[Outgoing]) -> dict[int, Sent]:
        """Send in order within each partition; by partition, the offsets acknowledged."""
        acknowledged: dict[int, Sent] = {}
        futures: list[asyncio.Future[RecordMetadata]] = []
        try:
            with translating_kafka("publishing"):
                async with asyncio.timeout(SEND_S_MAX):
                    for message in messages:
                        futures.append(await self._enqueued(message))  # noqa: PERF401 - see finally
                    for future in futures:
                        done = await future
                        known = acknowledged.get(done.partition, _NONE)
                        acknowledged[done.partition] = known.with_one(done.offset)
        finally:
            for future in futures:
                future.cancel()  # nobody asks for their outcome any more
        return acknowledged

    async def _enqueued(self, message: Outgoing) -> asyncio.Future[RecordMetadata]:
        return await self._producer.send(
            self._topic,
            value=message.value,
            key=message.key,
            partition=message.partition,
            headers=list(message.headers),
        )


@asynccontextmanager
async def open_topic_writer(options: KafkaOptions, topic: str) -> AsyncGenerator[KafkaTopicWriter]:
    """A writer for the block; what it has not sent when the block ends is given up.

    Raises:
        UnavailableError: Kafka does not answer.
        PreconditionError: it refuses the user, or the options do not go together.
    """
    arguments = options.arguments("grantlog-publisher")
    producer = _Producer(
        **arguments,
        enable_idempotence=True,
        acks="all",
        max_batch_size=_BATCH_BYTES_MAX,
        max_request_size=2 * JSON_MESSAGE_BYTES_MAX,
    )
    try:
        async with connecting_kafka(options, "connecting to Kafka"):
            async with asyncio.timeout(START_S_MAX):
                await producer.start()
        async with open_topic_ends(options, topic) as ends_of:
            yield KafkaTopicWriter(producer, ends_of, topic)
    finally:
        await producer.abandon()


@asynccontextmanager
async def open_topic_ends(options: KafkaOptions, topic: str) -> AsyncGenerator[EndsOf]:
    """What tells where partitions end, for the block; errors as `open_topic_writer`."""
    consumer = new_consumer(options, "grantlog-offsets")

    async def ends_of(partitions: Collection[int]) -> dict[int, int]:
        places = [TopicPartition(topic, partition) for partition in partitions]
        with translating_kafka("reading where the topic ends"):
            ends = await consumer.end_offsets(places)
        return {place.partition: offset for place, offset in ends.items()}

    try:
        async with connecting_kafka(options, "connecting to Kafka"):
            async with asyncio.timeout(START_S_MAX):
                await consumer.start()
        yield ends_of
    finally:
        await closed(consumer.stop)
