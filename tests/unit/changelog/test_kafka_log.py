"""When the topic is believed, and when the primary is asked."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from grantlog.changelog.kafka import feed as feed_module
from grantlog.changelog.kafka.feed import SILENT_S_MAX
from grantlog.changelog.kafka.log import COMPARE_S, PATIENCE_S, KafkaTenantLog
from grantlog.model.ids import Revision, TenantId
from tests.kafka_world import TENANTS, Record, World
from tests.waiting import until

ACME, OTHER, _ = TENANTS


@pytest.fixture
async def world() -> World:
    made = World()
    await made.write(ACME, 1)
    await made.flow()
    await made.log.heads_moved(None)
    return made


async def told(world: World, mark: str | None) -> dict[TenantId, int]:
    moved = await world.log.heads_moved(mark)
    return {tenant: head.revision for tenant, head in moved.heads.items()}


async def test_the_first_look_tells_what_the_primary_has(world: World) -> None:
    await world.write(OTHER, 1)
    assert await told(world, None) == {ACME: 1, OTHER: 1}


async def test_while_the_topic_speaks_it_alone_moves_heads(world: World) -> None:
    mark = (await world.log.heads_moved(None)).mark
    await world.write(ACME, 1)
    assert await told(world, mark) == {}
    await world.flow()
    assert await told(world, mark) == {ACME: 2}


async def test_what_the_topic_does_not_bring_is_told_after_a_comparison_and_some_patience(
    world: World,
) -> None:
    mark = (await world.log.heads_moved(None)).mark
    await world.write(ACME, 1)
    world.now += COMPARE_S
    world.beat((await world.primary.log.heads_moved(None)).through)
    for beat in world.waiting:
        await world.deliver(beat)
    assert await told(world, mark) == {}
    world.now += PATIENCE_S
    assert await told(world, mark) == {ACME: 2}


async def test_a_silent_topic_is_not_waited_for(world: World) -> None:
    mark = (await world.log.heads_moved(None)).mark
    world.now += SILENT_S_MAX
    assert world.log.lively
    world.now += 0.1
    assert not world.log.lively
    for revision in (2, 3):
        await world.write(ACME, 1)
        assert await told(world, mark) == {ACME: revision}


async def test_what_was_sent_while_nobody_read_is_asked_for_at_once(world: World) -> None:
    mark = (await world.log.heads_moved(None)).mark
    await world.write(ACME, 1)
    world.feed.begin()
    assert await told(world, mark) == {ACME: 2}


async def test_a_doubt_is_settled_by_the_primary(world: World) -> None:
    mark = (await world.log.heads_moved(None)).mark
    await world.write(ACME, 1)
    await world.foreign(ACME, 0)
    before = await world.log.heads_moved(mark)
    assert before.heads[ACME].digest == b"o" * 16
    await world.flow()
    assert world.feed.heads.doubts == {ACME}
    after = await world.log.heads_moved(before.mark)
    assert after.heads[ACME] == (await world.primary.log.heads_moved(None)).heads[ACME]
    assert world.feed.heads.doubts == set()


async def test_what_the_primary_gave_is_not_kept_when_the_topic_brings_it_later(
    world: World,
) -> None:
    for _ in range(3):
        await world.write(OTHER, 1)
    page = await world.log.read(OTHER, after=Revision(0), changes_max=100)
    assert [entry.revision for entry in page] == [1, 2, 3]
    await world.flow()
    assert world.feed.intake.counters.duplicates == 3
    await world.write(OTHER, 1)
    await world.flow()
    assert [e.revision for e in await world.log.read(OTHER, after=Revision(3), changes_max=9)] == [
        4
    ]
    assert (world.log.counters.read_here, world.log.counters.read_in_primary) == (1, 3)


async def test_the_time_told_is_what_the_heartbeats_promise(world: World) -> None:
    first = (await world.log.heads_moved(None)).through
    for _ in range(4):  # the clock of this world moves with every third reading
        await world.write(ACME, 1)
    waits = (await world.log.heads_moved("0")).through
    assert waits == first
    await world.flow()
    assert (await world.log.heads_moved("0")).through > first


async def test_a_hub_hears_of_the_tenants_it_asks_for_and_of_no_others() -> None:
    world = World()
    log = KafkaTenantLog(world.feed, world.primary.log)
    for tenant in (ACME, OTHER):
        await world.write(tenant, 1)
    heads = await log.heads_of([ACME, TenantId("never")])
    assert {tenant: head.position.revision for tenant, head in heads.items()} == {ACME: 1}
    for tenant in (ACME, OTHER):
        await world.write(tenant, 1)
    assert (await log.heads_of([ACME]))[ACME].position.revision == 1
    assert (await log.heads_of([ACME], now=True))[ACME].position.revision == 2
    await world.flow()
    assert (await log.heads_of([ACME]))[ACME].position.revision == 2
    assert world.feed.intake.counters.transactions == 2
    page = await log.read(ACME, after=Revision(1), changes_max=9)
    assert [entry.revision for entry in page] == [2]
    assert (await log.heads_of([OTHER]))[OTHER].position.revision == 2
    assert world.feed.heads.get(ACME) is None


async def test_a_hub_asks_the_primary_now_and_then_and_while_the_topic_is_silent() -> None:
    world = World()
    log = KafkaTenantLog(world.feed, world.primary.log)
    await world.write(ACME, 1)
    await log.heads_of([ACME])
    await world.write(ACME, 1)
    world.now += COMPARE_S
    assert (await log.heads_of([ACME]))[ACME].position.revision == 2
    await world.write(ACME, 1)
    assert (await log.heads_of([ACME]))[ACME].position.revision == 2
    world.now += SILENT_S_MAX - COMPARE_S + 0.1
    assert (await log.heads_of([ACME]))[ACME].position.revision == 3
    await world.write(ACME, 1)
    assert (await log.heads_of([ACME]))[ACME].position.revision == 4


class Talking:
    """A topic on which something is said, up to a bound."""

    def __init__(self) -> None:
        self.asked = 0

    async def some(self) -> list[Record]:
        self.asked += 1
        if self.asked > 10:
            await asyncio.Event().wait()
        return [Record("t", 0, self.asked, b"", b"", ())]


async def test_what_nobody_wants_is_read_rarely_and_at_once_when_somebody_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed_module, "UNWANTED_GATHER_S", 3600.0)
    feed, topic = World().feed, Talking()
    monkeypatch.setattr(feed, "_gather_s", 0.0)
    feed.want(frozenset())

    async def read() -> None:
        while True:
            await feed._take_some(cast("Any", topic))

    async with asyncio.TaskGroup() as group:
        reading = group.create_task(read())
        await until(lambda: topic.asked > 0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert topic.asked == 1
        feed.want(frozenset({ACME}))
        await until(lambda: topic.asked > 5)
        reading.cancel()
