"""A replica that follows a real Kafka: from the topic, and through everything that goes wrong."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from itertools import count

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError

from grantlog.changelog.kafka.client import KafkaOptions
from grantlog.changelog.kafka.message import partition_of
from grantlog.changelog.kafka.topic import TopicSpec
from grantlog.changelog.postgres.outbox import Outbox
from grantlog.store.postgres.pool import open_pool
from grantlog.testing.contracts.lives import write_a_life, write_another_life
from grantlog.testing.contracts.places import ACME, OTHER
from tests.contract.postgres import postgres_primary
from tests.integration.kafka.conftest import Stage
from tests.integration.kafka.followers import following
from tests.kafka import Broker
from tests.waiting import until


async def test_what_happens_is_read_from_the_topic(stage: Stage, replica_dsn: str) -> None:
    async with stage.publishing(), following(stage, replica_dsn) as follower:
        await follower.warm()
        await write_a_life(stage.primary)
        await write_another_life(stage.primary)
        await follower.reach(ACME)
        wanted = follower.log.counters.read_here + 5
        # A machine that stands still for seconds makes a follower ask the primary: so, again.
        for number in range(50):
            done = await stage.primary.put(f"doc:{number}#viewer@user:1", tenant=OTHER)
            await follower.reach(OTHER)
            if follower.log.counters.read_here >= wanted:
                break
        assert follower.log.counters.read_here >= wanted
        assert follower.log.counters.refused == 0
        assert done.commit_time is not None
        await until(lambda: follower.projector.status.applied_through > done.commit_time)


async def test_a_large_transaction_arrives_whole(stage: Stage, replica_dsn: str) -> None:
    async with stage.publishing(), following(stage, replica_dsn) as follower:
        await follower.warm()
        taken_in = follower.log.counters
        before = taken_in.transactions + taken_in.duplicates
        done = await stage.primary.put(
            *(f"doc:{n:0100}#viewer@user:{n:0100}" for n in range(8_000))
        )
        await follower.reach()  # perhaps from the primary, long before the topic has it

        def has_passed() -> bool:
            through = follower.log._feed.intake.through
            return through is not None and through > done.commit_time

        await until(has_passed)
        assert taken_in.transactions + taken_in.duplicates > before
        assert (taken_in.incomplete, taken_in.refused) == (0, 0)
        assert len([event for event in await stage.events() if event[0] == ACME]) > 2


async def test_without_a_publisher_the_primary_is_followed(stage: Stage, replica_dsn: str) -> None:
    async with following(stage, replica_dsn) as follower:
        await stage.primary.put("doc:1#viewer@user:1")
        await follower.reach()
        await until(lambda: not follower.log.lively)
        await stage.primary.put("doc:2#viewer@user:1")
        await follower.reach()
        async with stage.publishing():
            await until(lambda: follower.log.lively)
            await stage.primary.put("doc:3#viewer@user:1")
            await follower.reach()


async def test_a_broker_that_is_killed_under_writes_loses_nothing(
    own_broker: Broker,
    new_topic: Callable[[], str],
    migrated_database: Callable[..., Awaitable[str]],
) -> None:
    dsn, replica_dsn = await migrated_database(), await migrated_database(seed=False)
    spec = TopicSpec(new_topic(), partitions=2)
    async with postgres_primary(dsn) as primary:
        stage = Stage(dsn, primary, KafkaOptions(own_broker.bootstrap), spec)
        written = 0
        stop = asyncio.Event()

        async def write() -> None:
            nonlocal written
            for number in count():
                if stop.is_set():
                    return
                tenant = (ACME, OTHER)[number % 2]
                await primary.put(f"doc:{number}#viewer@user:1", tenant=tenant)
                written += 1
                await asyncio.sleep(0.005)

        async with (
            stage.publishing(),
            following(stage, replica_dsn) as follower,
            asyncio.TaskGroup() as group,
        ):
            await until(lambda: follower.log.lively)
            writing = group.create_task(write())
            for how in (signal.SIGKILL, signal.SIGTERM):
                await until(lambda: follower.log.counters.read_here > 20, within_s=60)
                await asyncio.to_thread(own_broker.stop, how)
                enough = written + 50
                await until(lambda enough=enough: written >= enough)
                await asyncio.to_thread(own_broker.start)
                await until(lambda: follower.log.lively, within_s=60)
                follower.log.counters.read_here = 0
            stop.set()
            await writing  # the last write may be under way
            head = {t: (await primary.heads.head(t)).revision for t in (ACME, OTHER)}
            await stage.reach({(tenant, revision, 0) for tenant, revision in head.items()})
            await follower.reach(ACME, OTHER, within_s=60)
            assert follower.projector.status.stopped == {}
        events = await stage.events()
        for tenant, last in head.items():
            firsts = list(dict.fromkeys(event for event in events if event[0] == tenant))
            assert firsts == [(tenant, revision, 0) for revision in range(1, last + 1)]


async def test_a_message_nobody_can_read_is_named_and_stops_nobody(
    stage: Stage, replica_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stage.publishing(), following(stage, replica_dsn) as follower:
        await follower.warm()
        await stage.primary.put("doc:1#viewer@user:1")
        partition = partition_of(ACME, stage.spec.partitions)
        headers = [
            ("grantlog-kind", b"event"),
            ("grantlog-publisher", b"9.9"),
            ("grantlog-revision", b"2"),
            ("grantlog-part", b"0/1"),
        ]
        async with AIOKafkaProducer(bootstrap_servers=stage.options.bootstrap) as producer:
            for key, value, said in (
                (b"acme", b"\xff\xff garbage", headers[:1]),
                (None, b"x", []),
                (b"acme", b"x", [("grantlog-kind", b"later")]),
            ):
                await producer.send_and_wait(
                    stage.spec.name, value, key, partition=partition, headers=said
                )
        await until(lambda: follower.log.counters.refused == 3)
        await stage.primary.put("doc:2#viewer@user:1")
        await follower.reach()
        assert follower.projector.status.stopped == {}
        said = capsys.readouterr().out
        assert said.count("message refused") == 3
        assert "offset=" in said


async def test_an_unknown_kind_stops_its_tenant_loudly(stage: Stage, replica_dsn: str) -> None:
    from grantlog.event.v1 import event_pb2

    async with stage.publishing(), following(stage, replica_dsn) as follower:
        await follower.warm()
        await stage.primary.put("doc:1#viewer@user:1")
        await follower.reach()
        async with open_pool(stage.dsn, size_max=1, application_name="test") as pool:
            # What a newer version would write: a body of a number that is not known here.
            row = await pool.fetchrow("SELECT * FROM transactions WHERE tenant_id = 'acme'")
            event = event_pb2.Event.FromString(row["payload"])
            event.revision = 2
            event.ClearField("data_written")
            payload = event.SerializeToString() + b"\xfa\x01\x00"  # field 31, empty
            await pool.execute(
                "INSERT INTO transactions SELECT tenant_id, 2, part, parts, epoch, commit_time, "
                "write_id, digest, $1 FROM transactions WHERE tenant_id = 'acme'",
                payload,
            )
            await pool.execute(
                "UPDATE heads SET revision = 2, changed_xid = pg_current_xact_id() "
                "WHERE tenant_id = 'acme'"
            )
        await until(lambda: ACME in follower.projector.status.stopped)
        assert "kind that is not known" in follower.projector.status.stopped[ACME]
        await stage.primary.put("doc:1#viewer@user:1", tenant=OTHER)
        await follower.reach(OTHER)


async def test_a_topic_that_was_made_anew_is_told_and_published_again(
    stage: Stage, replica_dsn: str
) -> None:
    async with stage.publishing() as publisher, following(stage, replica_dsn) as follower:
        await until(lambda: follower.log.lively)
        for number in range(5):
            await stage.primary.put(f"doc:{number}#viewer@user:1")
        await follower.reach()
        admin = AIOKafkaAdminClient(bootstrap_servers=stage.options.bootstrap)
        await admin.start()
        await admin.delete_topics([stage.spec.name])

        async def made() -> bool:
            answer = await admin.create_topics(
                [NewTopic(stage.spec.name, 2, 1, topic_configs={"max.message.bytes": "2097152"})]
            )
            return answer.topic_errors[0][1] in (0, TopicAlreadyExistsError.errno)

        await until(made)
        await admin.close()
        partition = partition_of(ACME, 2)
        await until(lambda: "republish" in publisher.troubles.get(partition, ""))
        await stage.primary.put("doc:9#viewer@user:1")
        await follower.reach()
        assert (ACME, 6, 0) not in await stage.events()
        async with open_pool(stage.dsn, size_max=1, application_name="test") as pool:
            trouble = await pool.fetchval(
                "SELECT trouble FROM publisher_leases WHERE partition = $1", partition
            )
            assert "truncated or made anew" in trouble
            await Outbox(pool, owner="").republish()
        await stage.reach({(ACME, revision, 0) for revision in range(1, 7)})
        await until(lambda: publisher.troubles == {})
        await until(lambda: follower.log.lively)
        await stage.primary.put("doc:10#viewer@user:1")
        await follower.reach()
        assert follower.projector.status.stopped == {}
