"""Publishers that die, sleep or lose: the topic has everything at least once, followers exactly."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace

import pytest

from grantlog.changelog.kafka.message import (
    EVENT,
    HEARTBEAT,
    KIND,
    PUBLISHER,
    REVISION,
    Outgoing,
)
from grantlog.changelog.kafka.producer import Sent, TopicWriter
from grantlog.changelog.postgres.outbox import Outbox
from grantlog.errors import UnavailableError
from grantlog.store.postgres.pool import open_pool
from grantlog.testing.contracts.places import ACME, OTHER
from tests.integration.kafka.conftest import Stage
from tests.integration.kafka.followers import following
from tests.waiting import until


class Faulty:
    """A writer that a test can make fail after sending, lose what it sends, or fall asleep.

    It fails and sleeps at events of one tenant: those of others, from before, may be under way
    still when a test asks for that.
    """

    def __init__(self) -> None:
        self.writer: TopicWriter
        self.failures = 0
        self.lost: set[tuple[bytes, bytes]] = set()
        self.sleeps = asyncio.Event()
        self.asleep = asyncio.Event()
        self.awake = asyncio.Event()

    def wrap(self, writer: TopicWriter) -> TopicWriter:
        self.writer = writer
        return self

    async def ends(self, partitions: Collection[int]) -> dict[int, int]:
        return await self.writer.ends(partitions)

    async def send(self, messages: Sequence[Outgoing]) -> dict[int, Sent]:
        events = any(
            (KIND, EVENT) in message.headers and message.key == ACME.encode()
            for message in messages
        )
        if events and self.sleeps.is_set() and not self.awake.is_set():
            self.asleep.set()
            await self.awake.wait()
        done = await self.writer.send([self._lose(message) for message in messages])
        if events and self.failures:
            self.failures -= 1
            raise UnavailableError("a test killed the publisher here")
        return done

    def _lose(self, message: Outgoing) -> Outgoing:
        """A heartbeat that says nothing, in the place of a message to be lost."""
        headers = dict(message.headers)
        if (message.key, headers.get(REVISION)) not in self.lost:
            return message
        kept = ((KIND, HEARTBEAT), (PUBLISHER, headers[PUBLISHER]))
        return replace(message, key=None, value=b"", headers=kept)


@pytest.fixture
def faulty() -> Faulty:
    return Faulty()


async def test_a_publisher_that_dies_before_it_marks_sends_again_and_nobody_folds_twice(
    stage: Stage, replica_dsn: str, faulty: Faulty
) -> None:
    async with stage.publishing("one", faulty.wrap), following(stage, replica_dsn) as follower:
        await follower.warm()
        faulty.failures = 3
        await stage.primary.put("doc:1#viewer@user:1")
        await until(lambda: not faulty.failures)
        await stage.primary.put("doc:2#viewer@user:1")
        await follower.reach()
        await stage.reach({(ACME, 2, 0)})
        assert follower.projector.status.stopped == {}
    ours = [event for event in await stage.events() if event[0] == ACME]
    assert ours.count((ACME, 1, 0)) == 4
    assert list(dict.fromkeys(ours)) == [(ACME, 1, 0), (ACME, 2, 0)]


async def test_a_publisher_that_wakes_with_an_old_lease_changes_nothing(
    stage: Stage, replica_dsn: str, faulty: Faulty
) -> None:
    async with (
        following(stage, replica_dsn) as follower,
        stage.publishing("one", faulty.wrap) as one,
    ):
        await follower.warm()
        faulty.sleeps.set()
        await stage.primary.put("doc:1#viewer@user:1")
        async with asyncio.timeout(60):
            await faulty.asleep.wait()
        # The other one keeps its leases, however long this machine stands still.
        lasting = replace(stage, limits=replace(stage.limits, lease_s=600.0))
        async with lasting.publishing("two") as two:
            await until(lambda: two.held == {0, 1})
            await stage.reach({(ACME, 1, 0)})
            await stage.primary.put("doc:2#viewer@user:1")
            await stage.reach({(ACME, 2, 0)})
            await follower.reach()
            faulty.awake.set()
            await until(lambda: one.held == frozenset())
            await until(lambda: follower.log.counters.old_publishers)
            await stage.primary.put("doc:3#viewer@user:1")
            await follower.reach()
            await stage.reach({(ACME, 3, 0)})
            assert two.held == {0, 1}
            async with open_pool(stage.dsn, size_max=1, application_name="test") as pool:

                async def marked() -> bool:
                    return (await Outbox(pool, owner="").marks([0, 1]))[ACME] == 3

                await until(marked)
    ours = [event for event in await stage.events() if event[0] == ACME]
    assert ours == [(ACME, 1, 0), (ACME, 2, 0), (ACME, 1, 0), (ACME, 3, 0)]


async def test_what_the_topic_lost_is_read_from_the_primary(
    stage: Stage, replica_dsn: str, faulty: Faulty
) -> None:
    faulty.lost = {(b"acme", b"2"), (b"other", b"1")}
    async with stage.publishing("one", faulty.wrap), following(stage, replica_dsn) as follower:
        await follower.warm()
        for number in range(4):
            await stage.primary.put(f"doc:{number}#viewer@user:1")
        await stage.primary.put("doc:1#viewer@user:1", tenant=OTHER)
        await follower.reach(ACME, OTHER)
        await until(lambda: follower.log.lively)
        assert follower.log.counters.read_in_primary > 0
    assert not set(await stage.events()) & {(ACME, 2, 0), (OTHER, 1, 0)}
