"""Looking after the topic from the command line, in lines."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from grantlog.changelog.kafka.client import KafkaOptions
from grantlog.changelog.kafka.producer import open_topic_ends
from grantlog.changelog.kafka.topic import TopicSpec, find_topic, prepare_topic, problem_of
from grantlog.changelog.postgres.outbox import Outbox
from grantlog.changelog.postgres.topic_record import PartitionStatus, TopicRecord, refuse_other
from grantlog.errors import PreconditionError, UnavailableError
from grantlog.runtime.kafka import options_of, spec_of
from grantlog.runtime.kafka_settings import KafkaSettings
from grantlog.store.postgres.epoch import newest_epoch
from grantlog.store.postgres.pool import Pool
from grantlog.store.postgres.primary import open_primary_pool

Say = Callable[[str], None]


async def status(dsn: str, settings: KafkaSettings, say: Say) -> bool:
    """Say who publishes what and how far, and what Kafka has; whether all is well."""
    async with _opened_pool(dsn, only_looks=True) as pool:
        outbox = Outbox(pool, owner="")
        recorded = await outbox.topic()
        if recorded is None:
            say("no topic carries the log: nothing was published yet")
            return True
        partitions, behind = await outbox.status()
        epoch = await newest_epoch(pool)
    say(
        f"topic {recorded.name}, {recorded.partitions} partitions, on the Kafka cluster "
        f"{recorded.cluster_id}"
    )
    if epoch is not None:
        say(epoch.line)
    for each in partitions:
        say(_line(each))
    say(f"{behind.tenants} tenants with {behind.revisions} revisions are not published yet")
    problems = [_wrong(each) for each in partitions if not each.held or each.trouble]
    if settings.kafka_bootstrap:
        problem = await _problem(options_of(settings), spec_of(settings), recorded, partitions)
        say(f"Kafka: {problem or 'the topic is there and safe'}")
        problems += [f"Kafka: {problem}"] if problem else []
    else:
        say("Kafka was not asked: GRANTLOG_KAFKA_BOOTSTRAP is not set")
    for problem in problems:
        say(f"WRONG: {problem}")
    return not problems


async def republish(dsn: str, say: Say) -> None:
    """Have the whole log sent again."""
    async with _opened(dsn) as outbox:
        if await outbox.topic() is None:
            raise PreconditionError("no topic carries the log: nothing was published yet")
        await outbox.republish()
        _, behind = await outbox.status()
    say(f"{behind.revisions} revisions of {behind.tenants} tenants are going to be sent again")


async def move(dsn: str, settings: KafkaSettings, say: Say) -> None:
    """Make the topic that the settings name the log's, and have the whole log sent there.

    Raises:
        PreconditionError: the settings name no Kafka, or the topic is not safe.
        UnavailableError: Kafka does not answer.
    """
    if not settings.kafka_bootstrap:
        raise PreconditionError("where to? Set GRANTLOG_KAFKA_BOOTSTRAP and GRANTLOG_KAFKA_TOPIC")
    spec = spec_of(settings)
    state = await prepare_topic(options_of(settings), spec)
    target = TopicRecord(spec.name, spec.partitions, state.cluster_id)
    async with _opened(dsn) as outbox:
        if await outbox.record_topic(target) == target:
            say(f"the log is on the topic {spec.name}")
            return
        await outbox.move(target)
        _, behind = await outbox.status()
    say(
        f"the log moved to the topic {spec.name}: {behind.revisions} revisions of "
        f"{behind.tenants} tenants are going to be sent there. Start every service anew with "
        "these settings"
    )


def _line(each: PartitionStatus) -> str:
    who = f"published by {each.owner}" if each.held else "published by NOBODY"
    lag = f"complete up to {each.lag.total_seconds():.1f} s ago" if each.lag else "not complete yet"
    trouble = f": {each.trouble}" if each.trouble else ""
    return (
        f"partition {each.partition}: {who} (epoch {each.publisher_epoch}), {lag}, "
        f"offset {each.acknowledged_offset} acknowledged{trouble}"
    )


def _wrong(each: PartitionStatus) -> str:
    if each.trouble:
        return f"partition {each.partition}: {each.trouble}"
    return (
        f"nobody publishes partition {each.partition}: start `grantlog run api` with "
        "GRANTLOG_KAFKA_BOOTSTRAP (GRANTLOG_KAFKA_PUBLISH=true is the default there)"
    )


async def _problem(
    options: KafkaOptions,
    spec: TopicSpec,
    recorded: TopicRecord,
    partitions: list[PartitionStatus],
) -> str:
    """What Kafka says against it, "" if nothing."""
    try:
        refuse_other(recorded, name=spec.name, partitions=spec.partitions)
        state = await find_topic(options, recorded.name)
        if state is None:
            return (
                f"there is no topic {recorded.name}, whatever was published: start a publisher, "
                "which makes it, then `grantlog topic republish`"
            )
        if state.cluster_id != recorded.cluster_id:
            return f"GRANTLOG_KAFKA_BOOTSTRAP leads to another cluster, {state.cluster_id}"
        if problem := problem_of(state, spec):
            return problem
        async with open_topic_ends(options, recorded.name) as ends_of:
            ends = await ends_of([each.partition for each in partitions])
    except (PreconditionError, UnavailableError) as error:
        return error.explanation
    short = [p.partition for p in partitions if ends[p.partition] <= p.acknowledged_offset]
    return f"partitions {short} end before what was acknowledged" if short else ""


@asynccontextmanager
async def _opened(dsn: str) -> AsyncGenerator[Outbox]:
    async with _opened_pool(dsn) as pool:
        yield Outbox(pool, owner="")


@asynccontextmanager
async def _opened_pool(dsn: str, *, only_looks: bool = False) -> AsyncGenerator[Pool]:
    async with open_primary_pool(
        dsn, size_max=1, application_name="grantlog topic", only_looks=only_looks
    ) as pool:
        yield pool
