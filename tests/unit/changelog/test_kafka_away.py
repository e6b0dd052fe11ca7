"""What is logged while Kafka is away: one line, and then few more; each says where it should be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from typing import Any, cast

from structlog.testing import capture_logs

from grantlog.background import background_tasks
from grantlog.changelog.kafka import source as source_module
from grantlog.changelog.kafka.client import KafkaOptions
from grantlog.changelog.kafka.feed import Feed
from grantlog.changelog.kafka.producer import TopicWriter
from grantlog.changelog.kafka.publisher import Publisher
from grantlog.changelog.kafka.publishing import PublishLimits
from grantlog.changelog.kafka.source import KafkaSource, Records
from grantlog.changelog.kafka.topic import TopicSpec
from grantlog.changelog.postgres.outbox import Outbox, TopicRecord
from grantlog.errors import UnavailableError
from grantlog.ports.log import ChangeLog
from tests.kafka_world import Record
from tests.waiting import until

KAFKA = "kafka-1:9092,kafka-2:9092"
TRIES = 200


class Away:
    """Kafka, which is not there."""

    def __init__(self) -> None:
        self.tries = 0

    def meet(self) -> None:
        self.tries += 1
        raise UnavailableError(f"try {self.tries}: Kafka does not answer")

    async def agree(self) -> TopicRecord:
        self.meet()
        raise AssertionError

    def open_writer(self) -> AbstractAsyncContextManager[TopicWriter]:
        self.meet()
        raise AssertionError

    async def release(self) -> None: ...


async def test_a_follower_tells_now_and_then_where_it_looks(monkeypatch) -> None:
    monkeypatch.setattr(source_module, "BACKOFF_S_MIN", 0.0)
    away, seconds = Away(), count()
    feed = Feed(
        KafkaSource(KafkaOptions(KAFKA), topic="grantlog.changes", partitions=1, agree=away.agree),
        topic="grantlog.changes",
        partitions=1,
        clock=lambda: float(next(seconds)),
    )
    with capture_logs() as lines:
        async with background_tasks() as group:
            reading = group.create_task(feed.run())
            await until(lambda: away.tries > TRIES)
            reading.cancel()
    assert [line["because"].partition(":")[0] for line in lines[:6]] == [
        "try 1", "try 6", "try 16", "try 36", "try 76", "try 156",
    ]  # fmt: skip
    assert {(line["event"], line["kafka"]) for line in lines} == {
        ("the topic cannot be read", KAFKA)
    }


class Silent:
    """A topic on which nobody says anything, for a while."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.tries = 0
        self.said: list[Record] = []
        self.heard = asyncio.Event()

    name = KAFKA
    cluster_id = "one"

    @asynccontextmanager
    async def placed(self) -> AsyncIterator[Records]:
        yield self

    async def some(self) -> list[Record]:
        await asyncio.sleep(0)
        self.tries += 1
        said, self.said = self.said, []
        if said:
            self.heard.set()
        else:
            self.seconds += 20
        return said


async def test_a_topic_is_read_again_once_something_is_heard_there(monkeypatch) -> None:
    monkeypatch.setattr(source_module, "BACKOFF_S_MIN", 0.0)
    topic = Silent()
    feed = Feed(topic, topic="t", partitions=1, clock=lambda: topic.seconds)
    with capture_logs() as lines:
        async with background_tasks() as group:
            reading = group.create_task(feed.run())
            await until(lambda: topic.tries > TRIES)
            tries, while_silent = topic.tries, [line["event"] for line in lines]
            topic.said = [Record("t", 0, 0, None, b"", ())]
            await topic.heard.wait()
            await until(lambda: any(line["event"] == "the topic is read again" for line in lines))
            reading.cancel()
    assert 1 < len(while_silent) < tries / 4
    assert set(while_silent) == {"the topic cannot be read"}
    again = [line["kafka"] for line in lines if line["event"] == "the topic is read again"]
    assert again == [KAFKA]


async def test_a_publisher_tells_it_once_at_first(monkeypatch) -> None:
    away = Away()
    limits = PublishLimits(backoff_s_min=0.0, backoff_s_max=0.0)
    nothing = cast("Any", away)
    publisher = Publisher(
        cast("ChangeLog", nothing),
        cast("Outbox", nothing),
        away.open_writer,
        spec=TopicSpec(),
        limits=limits,
        kafka=KAFKA,
    )
    stop = asyncio.Event()
    with capture_logs() as lines:
        async with background_tasks() as group:
            group.create_task(publisher.run(stop))
            await until(lambda: away.tries > TRIES)
            stop.set()
    assert [(line["event"], line["kafka"]) for line in lines] == [("publishing interrupted", KAFKA)]
