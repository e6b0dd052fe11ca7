"""Reading the topic from where a consumer stands, or from its beginning where that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

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
from grantlog.consumer.sequence import Sequencer
from grantlog.errors import PreconditionError

_LOG: Final = structlog.get_logger("grantlog.consumer")


class Reader:
    """The messages of all partitions, each partition's in order."""

    def __init__(self, consumer: AIOKafkaConsumer, topic: str, sequence: Sequencer) -> None:
        self._consumer = consumer
        self._topic = topic
        self._sequence = sequence
        self._beginnings: dict[int, int] = {}
        self._to_compare: set[int] = set()

    async def begin(self) -> None:
        """Go to where the sequence stands.

        Raises:
            PreconditionError: there is no such topic.
        """
        partitions = self._consumer.partitions_for_topic(self._topic)
        if not partitions:
            raise PreconditionError(f"there is no topic {self._topic}")
        places = [TopicPartition(self._topic, each) for each in sorted(partitions)]
        begins = await self._consumer.beginning_offsets(places)
        ends = await self._consumer.end_offsets(places)
        self._beginnings = {place.partition: offset for place, offset in begins.items()}
        self._consumer.assign(places)
        for place in places:
            self._seek(place, begins[place], ends[place])

    def _seek(self, place: TopicPartition, begins: int, ends: int) -> None:
        stands = self._sequence.place(place.partition)
        if not begins <= stands.offset <= ends:
            self._restart(place, "the place is not on it any more")
        elif stands.time_ms >= 0 and stands.offset > begins:
            # The message before is compared: a topic made anew may have grown as long.
            self._to_compare.add(place.partition)
            self._consumer.seek(place, stands.offset - 1)
        else:
            self._consumer.seek(place, stands.offset)

    def _restart(self, place: TopicPartition, why: str) -> None:
        offset = self._beginnings[place.partition]
        if self._sequence.place(place.partition).offset:
            _LOG.warning("partition read anew", partition=place.partition, because=why)
        self._sequence.restart(place.partition, offset)
        self._consumer.seek(place, offset)

    async def read(self) -> list[ConsumerRecord]:
        """What came; nothing within half a second is an empty list.

        Raises:
            UnavailableError: no broker answers, or a place is not on the topic any more.
            PreconditionError: Kafka refuses the user.
        """
        with translating_kafka("reading the topic"):
            found = await self._consumer.getmany(timeout_ms=GET_MS, max_records=GET_RECORDS_MAX)
        records: list[ConsumerRecord] = []
        for place, new in found.items():
            if place.partition in self._to_compare and new:
                self._to_compare.discard(place.partition)
                stands = self._sequence.place(place.partition)
                if (new[0].offset, new[0].timestamp) != (stands.offset - 1, stands.time_ms):
                    self._restart(place, "it is not the topic that was read before")
                    continue
                del new[0]
            records += new
        return records


@asynccontextmanager
async def open_reader(
    options: KafkaOptions, topic: str, sequence: Sequencer
) -> AsyncGenerator[Reader]:
    """A reader for the block.

    Raises:
        UnavailableError: Kafka does not answer.
        PreconditionError: it refuses the user, the options do not go together, or there is no
            such topic.
    """
    consumer = new_consumer(options, "grantlog-consumer", topic)
    try:
        async with connecting_kafka(options, "connecting to Kafka"):
            async with asyncio.timeout(START_S_MAX):
                await consumer.start()
                consumer.unsubscribe()
                reader = Reader(consumer, topic, sequence)
                await reader.begin()
        yield reader
    finally:
        await closed(consumer.stop)
