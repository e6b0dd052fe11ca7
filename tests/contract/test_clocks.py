"""The clocks of caches over every kind of log: they hear of writes, deletions and epochs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from grantlog.app.follow_clocks import ClockFollower, FollowLimits
from grantlog.cache.clock import Clock, fact_dependency
from grantlog.cache.clocks import Clocks
from grantlog.testing.contracts.places import ACME, Primary
from tests.waiting import until

DOC = fact_dependency("doc", "1", "viewer")
OTHER_DOC = fact_dependency("doc", "2", "viewer")
QUICK = FollowLimits(poll_s=0.05, pause_s=0.005)


@asynccontextmanager
async def followed(primary: Primary) -> AsyncIterator[tuple[Clocks, Clock]]:
    """Clocks that follow the log, and the one of a tenant that stands at revision 1."""
    await primary.put("doc:1#viewer@user:1")
    clocks = Clocks()
    clock = clocks.at(ACME, await primary.heads.head(ACME))
    assert clock is not None
    follower = ClockFollower(primary.hub_log or primary.log, clocks, QUICK)
    async with asyncio.TaskGroup() as group:
        following = group.create_task(follower.run())
        yield clocks, clock
        following.cancel()


async def test_clocks_hear_of_what_others_write(primary: Primary):
    async with followed(primary) as (_, clock):
        for number in range(5):
            await primary.put(f"doc:2#viewer@user:{number}")
        await until(lambda: clock.seen == 6)
        assert clock.base == 1
        assert clock.may_answer(1, 6, [DOC])
        assert not clock.may_answer(1, 6, [OTHER_DOC])


async def test_clocks_that_were_told_already_go_on_with_what_comes_then(primary: Primary):
    """As on a node whose own writes tell its clocks before the log does."""
    async with followed(primary) as (clocks, clock):
        await primary.put("doc:2#viewer@user:1")
        log = primary.archive or primary.log
        clocks.follow(await log.read(ACME, after=clock.seen, changes_max=100))
        assert clock.seen == 2
        await primary.put("doc:1#viewer@user:2")
        await until(lambda: clock.seen == 3)
        assert not clock.may_answer(2, 3, [DOC])


async def test_a_deletion_ends_the_clock(primary: Primary):
    async with followed(primary) as (clocks, clock):
        await primary.writer.delete_tenant(ACME, write_id=primary.new_id())
        await until(lambda: clocks.find(ACME) is not clock)


async def test_an_epoch_ends_the_clock(primary: Primary):
    async with followed(primary) as (clocks, clock):
        await primary.open_epoch()
        await primary.put("doc:1#viewer@user:2")
        await until(lambda: clocks.find(ACME) is not clock)
