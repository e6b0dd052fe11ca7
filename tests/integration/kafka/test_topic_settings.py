"""A real broker's topics that must not carry the log are refused; those that are made are safe."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from grantlog.changelog.kafka.client import KafkaOptions
from grantlog.changelog.kafka.message import JSON_MESSAGE_BYTES_MAX
from grantlog.changelog.kafka.topic import TopicSpec, prepare_topic
from grantlog.errors import PreconditionError

SAFE = {"retention.ms": "604800000", "max.message.bytes": "2097152", "min.insync.replicas": "1"}


async def make(kafka: str, name: str, settings: dict[str, str], partitions: int = 2) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        made = await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=settings)])
        assert made.topic_errors[0][1] == 0, made
    finally:
        await admin.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cleanup.policy": "compact"}, "cleanup.policy is compact: set it to delete"),
        ({"cleanup.policy": "compact,delete"}, "cleanup.policy is"),
        ({"retention.ms": "-1"}, "retention.ms and retention.bytes are -1"),
        ({"retention.ms": "60000"}, "retention.ms is 60000: set it to an hour or more"),
        ({"max.message.bytes": "100000"}, "max.message.bytes is 100000: set it to 1048576"),
        ({"min.insync.replicas": "2"}, "min.insync.replicas is 2 with 1 replicas: lower it"),
        ({"unclean.leader.election.enable": "true"}, "set it to false, it loses events"),
    ],
)
async def test_unsafe_settings_are_refused(
    kafka: str, new_topic: Callable[[], str], change: dict[str, str], said: str
) -> None:
    name = new_topic()
    await make(kafka, name, SAFE | change)
    with pytest.raises(PreconditionError) as error:
        await prepare_topic(KafkaOptions(kafka), TopicSpec(name, partitions=2))
    assert f"the topic {name}: " in error.value.explanation
    assert said in error.value.explanation


async def test_a_safe_topic_is_taken_as_it_is_but_not_with_other_partitions_or_as_json(
    kafka: str, new_topic: Callable[[], str]
) -> None:
    name = new_topic()
    await make(kafka, name, SAFE)
    await prepare_topic(KafkaOptions(kafka), TopicSpec(name, partitions=2))
    with pytest.raises(PreconditionError, match="it has 2 partitions"):
        await prepare_topic(KafkaOptions(kafka), TopicSpec(name, partitions=3))
    with pytest.raises(PreconditionError, match=f"set it to {JSON_MESSAGE_BYTES_MAX} or more"):
        await prepare_topic(KafkaOptions(kafka), TopicSpec(name, partitions=2, form="json"))


@pytest.mark.parametrize("form", ["protobuf", "json"])
async def test_a_topic_that_is_made_is_safe(kafka: str, new_topic: Callable[[], str], form) -> None:
    spec = TopicSpec(new_topic(), partitions=2, form=form)
    state = await prepare_topic(KafkaOptions(kafka), spec)
    assert (state.partitions, state.settings["cleanup.policy"]) == (2, "delete")


async def test_more_copies_than_brokers_cannot_be_made(
    kafka: str, new_topic: Callable[[], str]
) -> None:
    spec = TopicSpec(new_topic(), replication=3)
    with pytest.raises(PreconditionError, match="cannot be made"):
        await prepare_topic(KafkaOptions(kafka), spec)
