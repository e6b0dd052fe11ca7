"""What the topic holds behind what its primary remembers: a witness of writes that were lost.

Whoever begins to publish a partition looks there. Usually a predecessor died between sending and
marking, and the log holds what it sent. Where it does not, the primary was put back.

An event counts whatever its fence: a primary that was put back does not know which leases and
epochs it gave away after its backup, and those are the ones that matter. So whoever may write to
the topic may have an epoch opened; docs/operations.md says what that costs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from grantlog.changelog.kafka.client import (
    GET_MS,
    UNREADABLE,
    KafkaOptions,
    closed,
    new_consumer,
    translating_kafka,
)
from grantlog.changelog.kafka.message import EventMessage, partition_of, read_message
from grantlog.changelog.kafka.topic import TopicSpec
from grantlog.changelog.postgres.outbox import Lease
from grantlog.errors import CorruptionError
from grantlog.model.ids import Epoch, TenantId
from grantlog.ports.log import Position
from grantlog.wire.event import parse_event

_LOG: Final = structlog.get_logger("grantlog.publish")

RECORDS_MAX: Final = 1_000
"""Of each partition, the last ones: what was lost ends where the topic ends."""

_REVISIONS_MAX: Final = 2**62
_READ_S_MAX: Final = 20.0

Hold = Callable[[Mapping[TenantId, Position]], Awaitable[Epoch | None]]


class TopicTail:
    """Holds the ends of partitions against the log.

    Args:
        options: how Kafka is reached.
        spec: the topic.
        hold: holds what the topic has of tenants against the log, and opens an epoch if the log
            lacks it.
    """

    def __init__(self, options: KafkaOptions, spec: TopicSpec, hold: Hold) -> None:
        self._options = options
        self._spec = spec
        self._hold = hold

    async def look_back(self, leases: Collection[Lease]) -> None:
        """The log holds what these partitions hold, or a new epoch says that it was put back.

        Raises:
            UnavailableError: Kafka or the primary does not answer.
        """
        seen: dict[TenantId, Position] = {}
        for record in await self._records(leases):
            found = place_of(record.key, record.value, record.headers)
            if found is None:
                continue
            tenant, place = found
            if partition_of(tenant, self._spec.partitions) != record.partition:
                continue
            known = seen.get(tenant)
            if known is None or (known.epoch, known.revision) <= (place.epoch, place.revision):
                seen[tenant] = place
        if seen:
            await self._hold(seen)

    async def _records(self, leases: Collection[Lease]) -> list[ConsumerRecord]:
        consumer = new_consumer(self._options, "grantlog-tail")
        try:
            with translating_kafka("reading the end of the topic"):
                async with asyncio.timeout(_READ_S_MAX):
                    await consumer.start()
                    return await self._behind(consumer, leases)
        finally:
            await closed(consumer.stop)

    async def _behind(
        self, consumer: AIOKafkaConsumer, leases: Collection[Lease]
    ) -> list[ConsumerRecord]:
        places = {TopicPartition(self._spec.name, each.partition): each for each in leases}
        begins = await consumer.beginning_offsets(list(places))
        ends = await consumer.end_offsets(list(places))
        first = {
            place: max(lease.acknowledged_offset + 1, begins[place], ends[place] - RECORDS_MAX)
            for place, lease in places.items()
        }
        wanted = [place for place in places if first[place] < ends[place]]
        consumer.assign(wanted)
        for place in wanted:
            consumer.seek(place, first[place])
        found: list[ConsumerRecord] = []
        while wanted:
            try:
                got = await consumer.getmany(timeout_ms=GET_MS)
            except UNREADABLE as error:  # a stranger's record must not keep us from publishing
                _LOG.error("the topic's end is not compared", because=type(error).__name__)
                break
            for records in got.values():
                found += records
            wanted = [each for each in wanted if await consumer.position(each) < ends[each]]
        return found


def place_of(
    key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]
) -> tuple[TenantId, Position] | None:
    """The place in its tenant's log that an event of ours tells; None if it is no such event."""
    try:
        message = read_message(key, value, headers)
        if not isinstance(message, EventMessage):
            return None
        event = parse_event(message.payload)
    except CorruptionError:
        return None  # followers name it
    same = (event.tenant, event.revision) == (message.tenant, message.revision)
    if not same or event.revision >= _REVISIONS_MAX:
        return None
    return message.tenant, Position(Epoch(event.epoch), message.revision, event.digest)
