"""The follower brings clocks to the end of their logs, or lets them begin anew there."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest
from structlog.testing import capture_logs

from grantlog.app.follow_clocks import ClockFollower, FollowLimits
from grantlog.cache.clock import Clock
from grantlog.cache.clocks import Clocks
from grantlog.errors import CorruptionError, GrantlogError, PreconditionError, UnavailableError
from grantlog.model.ids import Revision
from grantlog.testing.contracts.places import ACME, Primary
from grantlog.waiting import REMIND_S_MIN
from tests.contract.memory import memory_primary
from tests.waiting import until


async def place(*, writes: int, limits: FollowLimits | None = None):
    """A primary with some writes, and a follower with a clock that began at the first one."""
    primary, clocks = memory_primary(), Clocks()
    await primary.put("doc:1#viewer@user:0")
    clock = clocks.at(ACME, await primary.heads.head(ACME))
    assert clock is not None
    for number in range(1, writes + 1):
        await primary.put(f"doc:1#viewer@user:{number}")
    return primary, clocks, clock, ClockFollower(primary.log, clocks, limits)


async def test_a_look_brings_the_clocks_that_were_asked_lately_to_the_end():
    primary, clocks, clock, _ = await place(writes=5)
    time = [0.0]
    follower = ClockFollower(primary.log, clocks, FollowLimits(asked_s=5), lambda: time[0])
    await follower.look()
    assert (clock.base, clock.seen) == (1, 6)
    await primary.put("doc:1#viewer@user:9")
    time[0] = 5.0
    await follower.look()
    assert clock.seen == 7
    await primary.put("doc:2#viewer@user:1")
    time[0] = 5.1
    await follower.look()
    assert clock.seen == 7, "nobody asked for long"
    clocks.at(ACME, await primary.heads.head(ACME))
    await follower.look()
    assert clock.seen == 8


async def test_a_clock_far_behind_begins_anew_at_the_end():
    _, _, clock, follower = await place(writes=5, limits=FollowLimits(behind_max=4))
    await follower.look()
    assert (clock.base, clock.seen) == (6, 6)


async def test_a_question_ahead_of_its_clock_has_it_brought_forward_if_that_is_near():
    _, _, clock, follower = await place(writes=5, limits=FollowLimits(reach_max=4))
    await follower.reach(ACME, clock, Revision(6))
    assert clock.seen == 1
    await follower.reach(ACME, clock, Revision(5))
    assert clock.seen >= 5


async def test_questions_that_come_together_read_the_log_once():
    primary, clocks, clock, _ = await place(writes=5)
    log = _Counted(primary)
    follower = ClockFollower(log, clocks)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(follower.reach(ACME, clock, Revision(6)))
    assert (clock.seen, log.reads) == (6, 1)


async def test_a_deletion_ends_the_clock_and_a_new_epoch_does():
    primary, clocks, _, follower = await place(writes=1)
    await primary.writer.delete_tenant(ACME, write_id=primary.new_id())
    await follower.look()
    assert clocks.find(ACME) is None
    clocks.at(ACME, await primary.heads.head(ACME))
    await primary.open_epoch()
    await follower.look()
    assert clocks.find(ACME) is None


async def test_a_log_that_does_not_answer_leaves_the_question_alone():
    primary, clocks, clock, _ = await place(writes=1)
    follower = ClockFollower(_Counted(primary, UnavailableError("gone")), clocks)  # type: ignore[arg-type]
    await follower.reach(ACME, clock, Revision(2))
    assert clock.seen == 1


@pytest.mark.parametrize(
    "failure", [UnavailableError("gone"), PreconditionError("migrate"), CorruptionError("odd")]
)
async def test_whatever_the_log_says_the_follower_goes_on_and_tells_once(
    failure: GrantlogError,
):
    primary, clocks, clock, _ = await place(writes=1)
    log = _Counted(primary)
    limits = FollowLimits(poll_s=0.001, pause_s=0.0, retry_s=0.0)
    failing = count()

    async def heads_of(tenants, *, now=False):
        if next(failing) < 3:
            raise failure
        return await primary.log.heads_of(tenants, now=now)

    log.heads_of = heads_of
    with capture_logs() as told:
        async with asyncio.TaskGroup() as group:
            follower = ClockFollower(log, clocks, limits)  # type: ignore[arg-type]
            following = group.create_task(follower.run())
            await until(lambda: clock.seen == 2)
            following.cancel()
    assert [line["event"] for line in told] == ["caches do not hear of writes"]


async def test_a_log_that_stays_away_is_told_of_again_ever_more_rarely():
    primary, clocks, _, _ = await place(writes=1)
    limits = FollowLimits(retry_s=0.0)
    looks = count(1)

    def now() -> float:
        return float(next(looks))  # a second passes at every look at the clock

    log = _Counted(primary)

    async def heads_of(tenants, *, now=False):
        raise UnavailableError("gone")

    log.heads_of = heads_of
    with capture_logs() as told:
        async with asyncio.TaskGroup() as group:
            follower = ClockFollower(log, clocks, limits, now)  # type: ignore[arg-type]
            following = group.create_task(follower.run())
            await until(lambda: len(told) >= 3)
            following.cancel()
    assert {line["event"] for line in told} == {"caches do not hear of writes"}
    assert next(looks) > len(told) * REMIND_S_MIN


async def test_a_log_that_cannot_be_read_ends_the_clock():
    primary, clocks, _, _ = await place(writes=1)
    follower = ClockFollower(_Counted(primary, CorruptionError("hole")), clocks)  # type: ignore[arg-type]
    await follower.look()
    assert clocks.find(ACME) is None


async def test_an_end_of_an_earlier_life_ends_nothing():
    primary, clocks, _, follower = await place(writes=1)
    heads = await primary.log.heads_of([ACME])
    await primary.writer.delete_tenant(ACME, write_id=primary.new_id())
    clock = clocks.at(ACME, await primary.heads.head(ACME))
    assert isinstance(clock, Clock)
    await follower._bring(ACME, clock, heads[ACME])
    assert clocks.find(ACME) is clock


class _Counted:
    """A log that counts its reads, or fails them."""

    def __init__(self, primary: Primary, failure: Exception | None = None) -> None:
        self._log = primary.log
        self._failure = failure
        self.reads = 0
        self.heads_of = primary.log.heads_of
        self.wait = primary.log.wait

    async def read(self, tenant, *, after, changes_max):
        self.reads += 1
        await asyncio.sleep(0)
        if self._failure is not None:
            raise self._failure
        return await self._log.read(tenant, after=after, changes_max=changes_max)
