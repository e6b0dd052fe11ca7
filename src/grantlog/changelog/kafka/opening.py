"""Opening the topic that the primary records as the log's, and no other."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from grantlog.changelog.kafka.client import KafkaOptions
from grantlog.changelog.kafka.producer import KafkaTopicWriter, open_topic_writer
from grantlog.changelog.kafka.topic import TopicSpec, prepare_topic
from grantlog.changelog.postgres.outbox import Outbox
from grantlog.changelog.postgres.topic_record import TopicRecord, refuse_other


async def agree_on_topic(options: KafkaOptions, spec: TopicSpec, outbox: Outbox) -> TopicRecord:
    """The topic stands, and the primary records it as the log's; the first call lays both down.

    Raises:
        PreconditionError: the primary records another one, or the topic is not safe.
        UnavailableError: Kafka or the primary does not answer.
    """
    recorded = await outbox.topic()
    if recorded is not None:
        refuse_other(recorded, name=spec.name, partitions=spec.partitions)
    state = await prepare_topic(
        options, spec, cluster_id=recorded.cluster_id if recorded is not None else None
    )
    recorded = await outbox.record_topic(TopicRecord(spec.name, spec.partitions, state.cluster_id))
    refuse_other(recorded, name=spec.name, partitions=spec.partitions)  # another was quicker
    return recorded


@asynccontextmanager
async def open_agreed_writer(
    options: KafkaOptions, spec: TopicSpec, outbox: Outbox
) -> AsyncGenerator[KafkaTopicWriter]:
    """A writer to the topic that is agreed on; errors as `agree_on_topic`."""
    await agree_on_topic(options, spec, outbox)
    async with open_topic_writer(options, spec.name) as writer:
        yield writer
