"""Whatever becomes of the topic, a follower ends where the primary is, and stops for nothing."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from grantlog.changelog.kafka.message import Outgoing, partition_of
from tests.kafka_world import PARTITIONS, TENANTS, World

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from(TENANTS), st.integers(1, 3)),
        st.tuples(st.just("live"), st.sampled_from(TENANTS)),
        st.tuples(st.just("live"), st.sampled_from(TENANTS)),
        st.tuples(st.just("publish")),
        st.tuples(st.just("beat")),
        st.tuples(st.just("deliver"), st.integers(1, 9)),
        st.tuples(st.just("crash"), st.integers(0, 4)),
        st.tuples(st.just("vanish"), st.integers(0, 4)),
        st.tuples(st.just("repeat"), st.integers(0, 30)),
        st.tuples(st.just("garbage"), st.sampled_from(TENANTS), st.binary(max_size=8)),
        st.tuples(st.just("foreign"), st.sampled_from(TENANTS), st.integers(0, 1)),
        st.tuples(st.just("round")),
        st.tuples(st.just("round")),
        st.tuples(st.just("later"), st.sampled_from([0.1, 1.1, 2.1, 5.0])),
        st.tuples(st.just("begin")),
        st.tuples(st.just("publisher")),
        st.tuples(st.just("epoch")),
    ),
    min_size=15,
    max_size=60,
)


async def play(world: World, step: tuple) -> None:  # noqa: C901, PLR0912 - one case a step
    match step:
        case ("write", tenant, size):
            await world.write(tenant, size)
        case ("live", tenant):
            await world.write(tenant, 1)
            await world.flow()
        case ("publish",):
            await world.publish()
        case ("beat",):
            world.beat(await world.publish())
        case ("deliver", count):
            for _ in range(min(count, len(world.waiting))):
                await world.deliver(world.waiting.pop(0))
        case ("crash", place):
            world.lose(world.waiting[place:])
            del world.waiting[place:]
        case ("vanish", place):
            world.lied = world.lied or bool(world.waiting)
            del world.waiting[place : place + 1]
        case ("repeat", place):
            if world.sent:
                await world.deliver(world.sent[place % len(world.sent)])
        case ("garbage", tenant, value):
            headers = (("grantlog-kind", b"event"), ("grantlog-publisher", b"1.1"))
            partition = partition_of(tenant, PARTITIONS)
            await world.deliver(Outgoing(partition, tenant.encode(), value, headers))
        case ("foreign", tenant, ahead):
            await world.foreign(tenant, ahead)
        case ("round",):
            await world.round()
        case ("later", seconds):
            world.now += seconds
        case ("begin",):
            for message in world.waiting:  # sent while nobody was reading
                world.sent.append(message)
            world.waiting.clear()
            world.feed.begin()
        case ("publisher",):
            world.publisher += 1
        case ("epoch",):
            await world.primary.open_epoch()
            world.epoch += 1


@settings(max_examples=150)
@given(STEPS)
def test_a_follower_ends_where_the_primary_is(steps: list[tuple]) -> None:
    async def run() -> None:
        world = World()
        await world.projector.start()
        for step in steps:
            await play(world, step)
            assert world.projector.status.stopped == {}, world.projector.status.stopped
            await check_time(world)
        for _ in range(30):
            await world.round()
            world.now += 1.0
        assert world.projector.status.stopped == {}
        assert await world.is_equal()

    asyncio.run(run())


async def check_time(world: World) -> None:
    """Everything committed before the time that the follower tells is folded."""
    through = world.projector.status.applied_through
    if through is None or world.lied:
        return
    positions = await world.replica.projection.positions()
    for tenant in TENANTS:
        done = [t.revision for t in await world.primary.history(tenant) if t.commit_time < through]
        at = positions[tenant].revision if tenant in positions else 0
        assert at >= max(done, default=0), (tenant, through)
