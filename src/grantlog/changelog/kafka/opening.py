"""Opening the topic that the primary records as the log's, and no other; and reading it."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from grantlog.changelog.counts import TopicCounts
from grantlog.changelog.kafka.client import KafkaOptions
from grantlog.changelog.kafka.producer import KafkaTopicWriter, open_topic_writer
from grantlog.changelog.kafka.shared import SharedSource
from grantlog.changelog.kafka.source import KafkaSource
from grantlog.changelog.kafka.topic import TopicSpec, prepare_topic
from grantlog.changelog.postgres.outbox import Outbox
from grantlog.changelog.postgres.topic_record import TopicRecord, refuse_other
from grantlog.errors import PreconditionError, UnavailableError


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


async def own_source(
    options: KafkaOptions, spec: TopicSpec, outbox: Outbox, counts: TopicCounts | None = None
) -> KafkaSource:
    """A consumer of the topic that is agreed on, not placed yet; Kafka need not answer yet.

    Raises:
        PreconditionError: the primary records another topic, or this one is not safe.
    """

    async def agree() -> TopicRecord:
        return await agree_on_topic(options, spec, outbox)

    with suppress(UnavailableError):  # whoever reads tries it again, and tells
        await agree()
    return KafkaSource(
        options, topic=spec.name, partitions=spec.partitions, agree=agree, counts=counts
    )


async def shared_source(
    path: Path, options: KafkaOptions, spec: TopicSpec, outbox: Outbox, counts: TopicCounts
) -> SharedSource:
    """What this node's reader at a socket hands on, not placed yet; it need not answer yet.

    Kafka itself is not asked: the reader agreed on its topic, and each placing compares with what
    the primary records then.

    Raises:
        PreconditionError: the primary records another topic.
    """

    async def agree(cluster_id: str | None) -> None:
        recorded = await outbox.topic()
        if recorded is None:
            raise UnavailableError("the primary does not record its log's topic yet")
        refuse_other(recorded, name=spec.name, partitions=spec.partitions)
        if cluster_id not in (None, recorded.cluster_id):
            raise PreconditionError(
                f"the log is on the Kafka cluster {recorded.cluster_id}, this node reads "
                f"{cluster_id}: lead GRANTLOG_KAFKA_BOOTSTRAP to the former"
            )

    with suppress(UnavailableError):
        await agree(None)
    return SharedSource(
        path, kafka=options.bootstrap, agree=agree, clock=time.monotonic, counts=counts
    )
