"""What strangers do to the topic: it is told, and nothing is corrupted."""

from __future__ import annotations

from itertools import count

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from grantlog.changelog.kafka.log import open_kafka_tenant_log
from grantlog.changelog.kafka.message import EventMessage, partition_of
from grantlog.changelog.postgres.log import open_change_log
from grantlog.errors import TenantDeletedError
from grantlog.store.postgres.pool import INDEX_PLANS, open_pool
from grantlog.testing.contracts.places import ACME
from tests.contract.watching import station, token
from tests.integration.kafka.conftest import Stage
from tests.integration.kafka.followers import Follower, following
from tests.waiting import until

_numbers = count(1)
Headers = list[tuple[str, bytes]]


async def send(
    stage: Stage, partition: int, key: bytes | None, value: bytes | None, headers: Headers
) -> None:
    """What somebody else sends to the topic."""
    async with AIOKafkaProducer(
        bootstrap_servers=stage.options.bootstrap, max_request_size=4_000_000
    ) as producer:
        await producer.send_and_wait(
            stage.spec.name, value, key, partition=partition, headers=headers
        )


async def still_reads_the_topic(stage: Stage, follower: Follower) -> None:
    """Return when what is written now reaches the replica over the topic."""
    before = follower.log.counters.read_here

    async def came_over_the_topic() -> bool:
        await stage.primary.put(f"doc:{next(_numbers)}x#viewer@user:1")
        await follower.reach()
        return follower.log.counters.read_here > before

    await until(came_over_the_topic, within_s=60)
    assert follower.projector.status.stopped == {}


@pytest.mark.parametrize("kind", [b"event", b"heartbeat"])
async def test_a_publisher_that_nobody_knows_shuts_nobody_out(
    stage: Stage, replica_dsn: str, capsys: pytest.CaptureFixture[str], kind: bytes
) -> None:
    async with stage.publishing(), following(stage, replica_dsn) as follower:
        await follower.warm()
        partition = partition_of(ACME, 2)
        fence = ("grantlog-publisher", b"4000000000.7")
        headers = [("grantlog-kind", kind), fence, ("grantlog-revision", b"1"),
                   ("grantlog-part", b"0/1")]  # fmt: skip
        await send(stage, partition, b"acme", b"x" if kind == b"event" else b"", headers)
        await until(lambda: follower.log.counters.refused)
        await still_reads_the_topic(stage, follower)
        assert follower.log.counters.old_publishers == 0
    assert "4000000000.7) is none that the primary knows" in capsys.readouterr().out


async def test_an_event_in_another_tenants_place_is_refused(
    stage: Stage, replica_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stage.publishing(), following(stage, replica_dsn) as follower:
        await follower.warm()
        await stage.primary.put("doc:1#viewer@user:1")
        await stage.reach({(ACME, 1, 0)})
        await follower.reach()
        event = next(
            each
            for each in await stage.messages()
            if isinstance(each, EventMessage) and each.tenant == ACME
        )
        headers = [("grantlog-kind", b"event"), ("grantlog-publisher", b"%d.%d" % event.fence),
                   ("grantlog-revision", b"1"), ("grantlog-part", b"0/1")]  # fmt: skip
        await send(stage, 1 - partition_of(ACME, 2), b"acme", event.payload, headers)
        await until(lambda: follower.log.counters.refused)
        await still_reads_the_topic(stage, follower)
    assert "its tenant's place is partition" in capsys.readouterr().out


async def test_giants_and_tombstones_are_refused(stage: Stage, replica_dsn: str) -> None:
    async with stage.publishing(), following(stage, replica_dsn) as follower:
        await follower.warm()
        partition = partition_of(ACME, 2)
        await send(stage, partition, b"acme", b"g" * 2_000_000, [])
        await send(stage, partition, b"acme", None, [("grantlog-kind", b"event")])
        await until(lambda: follower.log.counters.refused == 2, within_s=60)
        await still_reads_the_topic(stage, follower)


async def test_a_truncated_topic_costs_time_only(
    stage: Stage, replica_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = Said(capsys)
    async with stage.publishing("one"), following(stage, replica_dsn) as follower:
        await follower.warm()
        intake = follower.log._feed.intake
        held_back, intake._bytes_max = intake._bytes_max, 0  # it does not get to read on
        # The client fetches a little ahead, and nothing behind that.
        for number in range(1, 41):
            await stage.primary.put(f"doc:{number}#viewer@user:1")
            if number % 10 == 0:
                await stage.reach({(ACME, number, 0)})
        await truncate(stage)
        intake._bytes_max = held_back
        await follower.reach(within_s=60)
        await until(lambda: said.has("was truncated or made anew"), within_s=60)
        await still_reads_the_topic(stage, follower)
    async with stage.publishing("two") as successor:
        await stage.primary.put("doc:after#viewer@user:1")
        head = (await stage.primary.heads.head(ACME)).revision
        await stage.reach({(ACME, head, 0)})
        assert successor.troubles == {}


async def test_watchers_and_replicas_at_every_place_hear_that_a_tenant_was_deleted(
    stage: Stage, replica_dsn: str
) -> None:
    primary = stage.primary
    async with (
        open_pool(stage.dsn, size_max=3, application_name="test", settings=INDEX_PLANS) as pool,
        open_change_log(pool, listen_dsn=stage.dsn) as archive,
        open_kafka_tenant_log(stage.options, stage.spec, pool, archive) as log,
        station(primary, log=log) as opened,
        stage.publishing(),
        following(stage, replica_dsn) as follower,
    ):
        await follower.warm()
        for number in range(3):
            await primary.put(f"doc:{number}#viewer@user:1")
        async with opened.watcher() as live, opened.watcher(token(1)) as late:
            await live.until_revision(3)
            await late.until_revision(2)
            # Watchers may have heard it from the primary, and what the topic does not have by
            # now, it need not get: rows of an ended life are not sent.
            await stage.reach({(ACME, revision, 0) for revision in range(1, 4)})
            await primary.writer.delete_tenant(ACME, write_id=b"d" * 16)
            await primary.put("doc:again#viewer@user:1")
            for watcher in (live, late):
                failure = await watcher.failure()
                assert isinstance(failure, TenantDeletedError)
                async with opened.watcher(failure.facts["snap_token"]) as next_life:
                    await next_life.until_revision(5)
                    assert len(next_life.changes()) == 1
            with pytest.raises(TenantDeletedError):
                async with opened.watcher(token(2)) as stale:
                    await stale.until_revision(5)
        await follower.reach()
        assert follower.projector.status.stopped == {}
        head = (await primary.heads.head(ACME)).revision
        await stage.reach({(ACME, revision, 0) for revision in range(1, head + 1)})


async def test_a_life_that_ended_before_it_was_sent_leaves_its_end_on_the_topic(
    stage: Stage, replica_dsn: str
) -> None:
    primary = stage.primary
    async with following(stage, replica_dsn) as follower:
        for number in range(3):
            await primary.put(f"doc:{number}#viewer@user:1")
        await follower.reach()
        await primary.writer.delete_tenant(ACME, write_id=b"d" * 16)
        await primary.put("doc:again#viewer@user:1")
        async with stage.publishing() as publisher:
            await stage.reach({(ACME, 4, 0), (ACME, 5, 0)})
            await follower.reach()
            await still_reads_the_topic(stage, follower)
            assert publisher.troubles == {}
        assert follower.projector.status.stopped == {}
    sent = {revision for tenant, revision, _ in await stage.events() if tenant == ACME}
    assert sent == set(range(4, (await primary.heads.head(ACME)).revision + 1))


class Said:
    """All that was logged."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    def has(self, words: str) -> bool:
        self._text += self._capsys.readouterr().out
        return words in self._text


async def truncate(stage: Stage) -> None:
    """Delete every record that the topic has."""
    admin = AIOKafkaAdminClient(bootstrap_servers=stage.options.bootstrap)
    await admin.start()
    try:
        everything = RecordsToDelete(-1)
        places = [TopicPartition(stage.spec.name, number) for number in range(2)]
        await admin.delete_records(dict.fromkeys(places, everything))
    finally:
        await admin.close()
