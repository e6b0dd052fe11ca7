"""The topic that carries the log: made if it is missing, refused if its settings lose events.

Nothing of an existing topic is changed: it may be somebody's on purpose. The refusal names the
setting, its value and what to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    InvalidReplicationFactorError,
    PolicyViolationError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from grantlog.changelog.kafka.client import KafkaOptions, closed, translated, translating_kafka
from grantlog.changelog.kafka.message import Form, message_bytes_max
from grantlog.changelog.kafka.refusal import connecting_kafka
from grantlog.errors import PreconditionError, UnavailableError

_LOG: Final = structlog.get_logger("grantlog.kafka")

REPLICATION_WANTED: Final = 3
RETENTION_MIN: Final = timedelta(hours=1)
"""A consumer that was away for less must find what it missed."""

_FOR_EVER: Final = -1
_NEW_LOOKS_MAX: Final = 50
_NEW_LOOK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """The topic as it is to be."""

    name: str = "grantlog.changes"
    partitions: int = 8
    replication: int | None = None
    """Copies of each partition; None means three, or as many as there are brokers."""
    retention: timedelta = timedelta(days=7)
    form: Form = "protobuf"
    """What is sent from now on; the topic may hold messages of the other one."""


@dataclass(frozen=True, slots=True)
class TopicState:
    """The topic as it is."""

    cluster_id: str
    partitions: int
    replication: int
    settings: Mapping[str, str]


async def prepare_topic(
    options: KafkaOptions, spec: TopicSpec, *, cluster_id: str | None = None
) -> TopicState:
    """The topic stands and is safe; it is made if there is none. Concurrent calls do no harm.

    Args:
        options: how Kafka is reached.
        spec: the topic as it is to be.
        cluster_id: of the Kafka that it must be on; None where that is not known yet.

    Raises:
        PreconditionError: its settings are unsafe, Kafka does not let us make it, or it is another
            Kafka than it should be.
        UnavailableError: Kafka does not answer.
    """
    async with _administration(options) as admin:
        found = str((await admin.describe_cluster())["cluster_id"])
        if cluster_id is not None and found != cluster_id:
            raise PreconditionError(
                f"the log is on the Kafka cluster {cluster_id}, GRANTLOG_KAFKA_BOOTSTRAP leads to "
                f"{found}: lead this service to the former; if that cluster is gone for good, "
                "`grantlog topic move`"
            )
        state = await _state(admin, spec.name)
        if state is None:
            await _create(admin, spec)
            state = await _state_of_new(admin, spec.name)
        if state is None:
            raise UnavailableError(f"the topic {spec.name} was made and is not there yet")
    if problem := problem_of(state, spec):
        raise PreconditionError(f"the topic {spec.name}: {problem}")
    return state


async def find_topic(options: KafkaOptions, name: str) -> TopicState | None:
    """The topic as it is, None if there is none; errors as `prepare_topic`."""
    async with _administration(options) as admin:
        return await _state(admin, name)


def problem_of(state: TopicState, spec: TopicSpec) -> str:
    """Why a topic must not carry the log, "" if it may: the setting, its value, what to do."""
    if state.partitions != spec.partitions:
        return (
            f"it has {state.partitions} partitions, GRANTLOG_KAFKA_PARTITIONS says "
            f"{spec.partitions}: set that to {state.partitions}, or name another topic"
        )
    policy = state.settings.get("cleanup.policy", "delete")
    if policy != "delete":
        return f"cleanup.policy is {policy}: set it to delete, compaction removes events"
    needed = message_bytes_max(spec.form)
    room = int(state.settings.get("max.message.bytes", needed))
    if room < needed:
        return (
            f"max.message.bytes is {room}: set it to {needed} or more, large transactions do not "
            f"fit as {spec.form}"
        )
    return _retention_problem(state) or _replication_problem(state)


def _retention_problem(state: TopicState) -> str:
    retention_ms = int(state.settings.get("retention.ms", _FOR_EVER))
    retention_bytes = int(state.settings.get("retention.bytes", _FOR_EVER))
    if retention_ms == _FOR_EVER and retention_bytes == _FOR_EVER:
        return (
            "retention.ms and retention.bytes are -1: set one, the topic must not grow for ever "
            "(the primary is the archive)"
        )
    if retention_ms != _FOR_EVER and retention_ms < RETENTION_MIN / timedelta(milliseconds=1):
        return f"retention.ms is {retention_ms}: set it to an hour or more"
    return ""


def _replication_problem(state: TopicState) -> str:
    in_sync = int(state.settings.get("min.insync.replicas", 1))
    if in_sync > state.replication:
        return (
            f"min.insync.replicas is {in_sync} with {state.replication} replicas: lower it, "
            "nothing can be written"
        )
    if state.replication >= REPLICATION_WANTED and in_sync < 2:  # noqa: PLR2004 - a majority of 3
        return (
            f"min.insync.replicas is {in_sync} with {state.replication} replicas: set it to 2, "
            "one broker's loss could lose acknowledged events"
        )
    if state.settings.get("unclean.leader.election.enable") == "true":
        return "unclean.leader.election.enable is true: set it to false, it loses events"
    return ""


@asynccontextmanager
async def _administration(options: KafkaOptions) -> AsyncGenerator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**options.arguments("grantlog-admin"))
    with translating_kafka("looking at the topic"):
        try:
            async with connecting_kafka(options, "looking at the topic"):
                await admin.start()
            yield admin
        finally:
            await closed(admin.close)


async def _state(admin: AIOKafkaAdminClient, name: str) -> TopicState | None:
    (described,) = await admin.describe_topics([name])
    error = for_code(described["error_code"])
    if error is UnknownTopicOrPartitionError:
        return None
    if described["error_code"]:
        raise translated(error(), "looking at the topic")
    cluster = await admin.describe_cluster()
    (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    code, _, _, _, entries = answer.resources[0]
    if code:
        raise translated(for_code(code)(), "reading the topic's settings")
    partitions = described["partitions"]
    return TopicState(
        cluster_id=str(cluster["cluster_id"]),
        partitions=len(partitions),
        replication=min(len(partition["replicas"]) for partition in partitions),
        settings={entry[0]: entry[1] for entry in entries},
    )


async def _state_of_new(admin: AIOKafkaAdminClient, name: str) -> TopicState | None:
    """A topic that was just made: brokers hear of it a moment later than its maker."""
    for _ in range(_NEW_LOOKS_MAX):
        if (state := await _state(admin, name)) is not None:
            return state
        await asyncio.sleep(_NEW_LOOK_S)
    return None


async def _create(admin: AIOKafkaAdminClient, spec: TopicSpec) -> None:
    brokers = len((await admin.describe_cluster())["brokers"])
    replication = spec.replication or min(REPLICATION_WANTED, brokers)
    settings = {
        "cleanup.policy": "delete",
        "retention.ms": str(spec.retention // timedelta(milliseconds=1)),
        "min.insync.replicas": "2" if replication >= REPLICATION_WANTED else "1",
        "max.message.bytes": str(2 * message_bytes_max(spec.form)),
        "unclean.leader.election.enable": "false",
    }
    topic = NewTopic(spec.name, spec.partitions, replication, topic_configs=settings)
    ((_, code, text),) = (await admin.create_topics([topic])).topic_errors
    error = for_code(code)
    if error is TopicAlreadyExistsError:
        return  # another publisher was quicker
    if code in _creation_refused():
        raise PreconditionError(f"the topic {spec.name} cannot be made: {text or error.__name__}")
    if code:
        refused = translated(error(), f"making the topic {spec.name}")
        if isinstance(refused, PreconditionError):
            wanted = ", ".join(f"{name}={value}" for name, value in settings.items())
            raise PreconditionError(
                f"{refused.explanation}: make it yourself, with {spec.partitions} partitions and "
                f"{wanted}"
            )
        raise refused
    _LOG.info("topic made", topic=spec.name, partitions=spec.partitions, replication=replication)
    if replication < REPLICATION_WANTED:
        _LOG.warning(
            "few copies of the topic",
            topic=spec.name,
            replication=replication,
            because="what brokers lose is sent again only by `grantlog topic republish`",
        )


def _creation_refused() -> set[int]:
    return {InvalidReplicationFactorError.errno, PolicyViolationError.errno}
