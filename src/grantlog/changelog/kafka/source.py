"""Where records of the topic come from: a consumer of one's own, or the node's one reader.

A source is placed at the topic's present end and read on from there until that fails; then it is
placed anew. What is between two placings is the follower's to find out elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import chain
from typing import Final, NoReturn, Protocol

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from grantlog.changelog.counts import TopicCounts
from grantlog.changelog.kafka.client import (
    GET_MS,
    GET_RECORDS_MAX,
    START_S_MAX,
    KafkaOptions,
    closed,
    new_consumer,
    translating_kafka,
)
from grantlog.changelog.kafka.refusal import connecting_kafka
from grantlog.changelog.postgres.outbox import TopicRecord
from grantlog.errors import CorruptionError, GrantlogError, UnavailableError
from grantlog.waiting import Reminders

_LOG: Final = structlog.get_logger("grantlog.kafka")

BACKOFF_S_MIN: Final = 0.1
BACKOFF_S_MAX: Final = 2.0
"""Between two attempts to place a source: the one at first, twice as much each time."""

QUIET_S_MAX: Final = 15.0
"""A topic on which nobody says anything for so long may not be the log's any more."""


class Record(Protocol):
    """What Kafka keeps of one message, as far as it is read here."""

    @property
    def partition(self) -> int:
        """Where it stands: the number of its partition, from 0."""
        ...

    @property
    def offset(self) -> int:
        """Its place there."""
        ...

    @property
    def key(self) -> bytes | None:
        """A tenant's id, or nothing."""
        ...

    @property
    def value(self) -> bytes | None:
        """What it says; None is a tombstone."""
        ...

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """What it says of itself."""
        ...


class Records(Protocol):
    """What one placing gives."""

    @property
    def cluster_id(self) -> str:
        """The Kafka that it is read from, by Kafka's own name of itself."""
        ...

    async def some(self) -> Sequence[Record]:
        """What came, each partition's in order; nothing if nothing came within `GET_MS`.

        Raises:
            UnavailableError: it goes no further; the source is to be placed anew.
            CorruptionError: likewise, and people should know why.
        """
        ...


class Source(Protocol):
    """See the module."""

    @property
    def name(self) -> str:
        """Where it looks, for people."""
        ...

    def placed(self) -> AbstractAsyncContextManager[Records]:
        """For the block: what comes from now on.

        Raises:
            UnavailableError: it cannot be placed now.
            PreconditionError: this is not the log's topic, or we are refused.
        """
        ...


class KafkaSource:
    """A consumer of one's own.

    Args:
        options: how Kafka is reached.
        topic: its name.
        partitions: its number of partitions.
        agree: makes sure, before each placing, that this is the log's topic.
        counts: where what is read is counted.
    """

    def __init__(
        self,
        options: KafkaOptions,
        *,
        topic: str,
        partitions: int,
        agree: Callable[[], Awaitable[TopicRecord]],
        counts: TopicCounts | None = None,
    ) -> None:
        self._options = options
        self._places = [TopicPartition(topic, partition) for partition in range(partitions)]
        self._agree = agree
        self._counts = counts or TopicCounts()

    @property
    def name(self) -> str:
        """The brokers."""
        return self._options.bootstrap

    @asynccontextmanager
    async def placed(self) -> AsyncGenerator[Records]:
        """A consumer at the topic's end; see the port."""
        agreed = await self._agree()
        consumer = new_consumer(self._options, "grantlog-follower")
        try:
            async with connecting_kafka(self._options, "beginning to read the topic"):
                async with asyncio.timeout(START_S_MAX):
                    await consumer.start()
                    ends = await consumer.end_offsets(self._places)
                consumer.assign(self._places)
                for place, offset in ends.items():
                    consumer.seek(place, offset)
            yield _Consumed(consumer, agreed.cluster_id, self._counts)
        finally:
            await closed(consumer.stop)


class _Consumed:
    """`Records` of a consumer that was placed."""

    def __init__(self, consumer: AIOKafkaConsumer, cluster_id: str, counts: TopicCounts) -> None:
        self._consumer = consumer
        self._counts = counts
        self.cluster_id = cluster_id

    async def some(self) -> Sequence[Record]:
        """See the port."""
        try:
            with translating_kafka("reading the topic"):
                found = await self._consumer.getmany(timeout_ms=GET_MS, max_records=GET_RECORDS_MAX)
        except UnavailableError as error:
            if isinstance(error.__cause__, OffsetOutOfRangeError):
                raise CorruptionError(
                    "the topic was truncated or made anew, or its retention overtook this reader: "
                    "it begins at the end again, and what lies between comes from the primary"
                ) from error
            raise
        records = list(chain.from_iterable(found.values()))
        self._counts.records_read += len(records)
        return records


async def keep_reading(
    source: Source,
    begin: Callable[[Records], Callable[[], Awaitable[bool]]],
    lost: Callable[[GrantlogError | None], None],
    clock: Callable[[], float],
) -> NoReturn:
    """Place a source again and again, and read what it gives, until cancelled.

    Args:
        source: what is read.
        begin: is told of each placing; returns what takes in some records and says whether there
            were any.
        lost: is told of each end of a placing, and of each attempt that failed; None means that
            reading was cancelled.
        clock: seconds that never go back.
    """
    backoff_s = BACKOFF_S_MIN
    told = Reminders()
    while True:
        failure: GrantlogError | None = None
        try:
            async with source.placed() as records:
                take_some = begin(records)
                backoff_s = BACKOFF_S_MIN
                heard_at = clock()
                while True:
                    if await take_some():
                        heard_at = clock()
                        if told.end():
                            _LOG.info("the topic is read again", kafka=source.name)
                    elif clock() - heard_at > QUIET_S_MAX:
                        raise UnavailableError("nobody publishes: looking at the topic anew")
        except GrantlogError as error:
            failure = error
            tell = _LOG.warning if error.retriable else _LOG.error
            kind = error.reason if error.retriable else error.explanation
            if told.due(kind, clock()):
                tell("the topic cannot be read", kafka=source.name, because=error.explanation)
        finally:
            lost(failure)
        await asyncio.sleep(backoff_s)
        backoff_s = min(2 * backoff_s, BACKOFF_S_MAX)
