"""Replicas and the topic tell of writes that a restored primary lost, where no node remembers."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from grantlog_projector.witness import ReplicaWitness

from grantlog.app.project import FollowLimits, Projector
from grantlog.changelog.kafka.client import KafkaOptions
from grantlog.changelog.kafka.publisher import PublishLimits
from grantlog.changelog.kafka.topic import TopicSpec
from grantlog.changelog.postgres.log import open_change_log
from grantlog.errors import GrantlogError, LostWriteError
from grantlog.store.postgres.pool import INDEX_PLANS, open_pool
from grantlog.testing.contracts.places import ACME
from tests.contract.postgres import postgres_primary, postgres_replica
from tests.integration.accidents.conftest import NEWEST, OPENED, REASON, node
from tests.integration.kafka.conftest import Stage
from tests.integration.kafka.followers import following
from tests.own_postgres import OwnPostgres, one
from tests.waiting import until

_PROCESS = Path(__file__).with_name("publisher_process.py")


@contextmanager
def published(dsn: str, bootstrap: str, topic: str) -> Iterator[subprocess.Popen[bytes]]:
    """A publisher in a process of its own."""
    process = subprocess.Popen([sys.executable, str(_PROCESS), dsn, bootstrap, topic])
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait(timeout=30)


async def written(primary: OwnPostgres, *facts: str) -> None:
    """Write facts on a node that knows nothing and is gone afterwards."""
    async with node(primary.dsn()) as passing:
        for fact in facts:
            await passing.put(f"{fact}#viewer@user:1")


async def test_a_replica_tells_and_its_tenant_stops_until_it_is_rebuilt(
    primary: OwnPostgres, migrated_database: Callable[..., Awaitable[str]]
) -> None:
    replica_dsn = await migrated_database(seed=False)
    await written(primary, "doc:1", "doc:2")
    backup = primary.back_up("backup")
    await written(primary, "doc:lost")
    witness = ReplicaWitness()
    async with (
        open_pool(
            primary.dsn(), size_max=3, application_name="t", settings=INDEX_PLANS,
            on_connect=witness.proof.prove,
        ) as pool,
        open_change_log(pool, listen_dsn=primary.dsn()) as log,
        postgres_replica(replica_dsn) as replica,
    ):  # fmt: skip
        projector = Projector(log, replica.projection, FollowLimits(look_again_s=0.01))
        await projector.start()
        witness.stand_at(lambda: projector.positions)
        await witness.proof.look(pool)
        await projector.round()
        assert projector.positions[ACME].revision == 3
        primary.restore(backup)
        await written(primary, "doc:new", "doc:newer")

        async with postgres_primary(primary.dsn()) as ours:

            async def folded_anew() -> bool:
                try:
                    await projector.round()
                    theirs = await replica.projection.digest(ACME)
                    return theirs == await ours.projection.digest(ACME)
                except GrantlogError:
                    return False

            await until(folded_anew)
        assert projector.status.stopped == {}
        reason = await one(primary.dsn(), REASON)
        assert "a replica saw revision 3 of epoch 1 of tenant acme" in str(reason)
        async with node(primary.dsn()) as other:
            with pytest.raises(LostWriteError):  # that revision 3 is another one now
                await other.at(1, 3)
            await other.at(1, 2)


async def test_the_topic_tells_when_a_publisher_takes_it_over(
    primary: OwnPostgres, kafka: str, new_topic: Callable[[], str]
) -> None:
    topic = new_topic()
    spec = TopicSpec(topic, partitions=2)
    backup = Path()
    with published(primary.dsn(), kafka, topic):
        async with postgres_primary(primary.dsn()) as ours:
            stage = Stage(primary.dsn(), ours, KafkaOptions(kafka), spec)
            await ours.put("doc:1#viewer@user:1")
            await stage.reach({(ACME, 1, 0)})
            await until(lambda: marked(primary, 1))
            backup = primary.back_up("backup")
            await ours.put("doc:lost#viewer@user:1")
            await ours.put("doc:also#viewer@user:1")
            await stage.reach({(ACME, 3, 0)})
    primary.restore(backup)
    await written(primary, "doc:new")
    with published(primary.dsn(), kafka, topic):
        await until(lambda: epochs_are(primary, 2), within_s=60)
        reason = await one(primary.dsn(), REASON)
        assert "the topic saw revision 3 of epoch 1 of tenant acme" in str(reason)
        async with node(primary.dsn()) as other:
            with pytest.raises(LostWriteError):
                await other.at(1, 3)
            done = await other.put("doc:newer#viewer@user:1")
            assert (done.epoch, done.revision) == (await one(primary.dsn(), NEWEST), 3)
        await until(lambda: marked(primary, 3), within_s=60)
    assert await one(primary.dsn(), OPENED) == 2


async def test_a_publisher_process_that_slept_past_its_lease_changes_nothing(
    primary: OwnPostgres,
    kafka: str,
    new_topic: Callable[[], str],
    migrated_database: Callable[..., Awaitable[str]],
) -> None:
    topic = new_topic()
    replica_dsn = await migrated_database(seed=False)
    async with postgres_primary(primary.dsn()) as ours:
        stage = Stage(primary.dsn(), ours, KafkaOptions(kafka), TopicSpec(topic, partitions=2))
        with published(primary.dsn(), kafka, topic) as first:
            async with following(stage, replica_dsn) as follower:
                await follower.warm()
                owner = await publisher_of(primary)
                os.kill(first.pid, signal.SIGSTOP)
                with published(primary.dsn(), kafka, topic):

                    async def taken_over() -> bool:
                        return await publisher_of(primary) != owner

                    await until(taken_over, within_s=60)
                    await ours.put("doc:1#viewer@user:1")
                    await follower.reach()
                    os.kill(first.pid, signal.SIGCONT)
                    for number in range(5):
                        await ours.put(f"doc:{number}#viewer@user:2")
                        await asyncio.sleep(0)
                    await follower.reach()
                    await until(lambda: marked(primary, 6), within_s=60)
                    assert await publisher_of(primary) != owner
                    assert follower.projector.status.stopped == {}
                    assert await one(primary.dsn(), "SELECT max(epoch) FROM epochs") == 1


async def test_a_publisher_whose_primary_hung_goes_on_when_it_answers_again(
    primary: OwnPostgres, kafka: str, new_topic: Callable[[], str]
) -> None:
    topic = new_topic()
    async with postgres_primary(primary.dsn()) as ours:
        with published(primary.dsn(), kafka, topic):
            await ours.put("doc:1#viewer@user:1")
            await until(lambda: marked(primary, 1), within_s=60)
            primary.pause()
            # Who could say that the lease has ended stands still: its clock is this machine's.
            ended_at = time.monotonic() + PublishLimits().lease_s
            await until(lambda: time.monotonic() > ended_at)
            primary.resume()
            await ours.put("doc:2#viewer@user:1")
            await until(lambda: marked(primary, 2), within_s=60)
    assert await one(primary.dsn(), "SELECT max(epoch) FROM epochs") == 1


async def epochs_are(primary: OwnPostgres, count: int) -> bool:
    return await one(primary.dsn(), OPENED) == count


async def publisher_of(primary: OwnPostgres) -> object:
    return await one(primary.dsn(), "SELECT owner FROM publisher_leases WHERE partition = 0")


async def marked(primary: OwnPostgres, revision: int) -> bool:
    """Whether the primary notes that so much of the tenant is on the topic."""
    query = "SELECT revision FROM published WHERE tenant_id = 'acme'"
    return await one(primary.dsn(), query) == revision
