"""One timer for the bound of many calls."""

import asyncio
from contextlib import suppress

import pytest

from grantlog.serving.deadlines import Deadlines
from tests.waiting import never

BOUND_S = 0.02


async def test_what_is_late_is_cancelled_there_and_then():
    task, work = asyncio.current_task(), Deadlines(BOUND_S).bounded()
    assert task is not None
    assert not work.expire(work.ends_at - BOUND_S)
    assert task.cancelling() == 0
    assert work.expire(work.ends_at)
    assert task.cancelling() == 1
    with pytest.raises(TimeoutError), work:
        await asyncio.sleep(0)
    assert task.cancelling() == 0


async def test_work_that_never_ends_is_cut():
    deadlines = Deadlines(BOUND_S)
    with pytest.raises(TimeoutError), deadlines.bounded():
        await never()


async def test_each_piece_of_work_has_its_own_time():
    """The timer goes on to what began later, when what began first was cut."""
    deadlines, loop = Deadlines(BOUND_S), asyncio.get_running_loop()

    async def cut_after() -> float:
        begun = loop.time()
        with pytest.raises(TimeoutError), deadlines.bounded():
            await never()
        return loop.time() - begun

    async with asyncio.TaskGroup() as group:
        first = group.create_task(cut_after())
        with deadlines.bounded():  # ends in time, and leaves the timer standing
            await asyncio.sleep(0)
        with pytest.raises(TimeoutError), deadlines.bounded():
            await never()
        last = group.create_task(cut_after())
    assert first.result() >= BOUND_S
    assert last.result() >= BOUND_S


async def test_work_that_ends_in_time_is_left_alone():
    deadlines = Deadlines(BOUND_S)
    with deadlines.bounded():
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2 * BOUND_S):
            await never()


async def test_a_task_cancelled_by_others_says_so():
    deadlines = Deadlines(BOUND_S)
    inside = asyncio.Event()

    async def work() -> None:
        with deadlines.bounded():
            inside.set()
            await never()

    task = asyncio.get_running_loop().create_task(work())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_task_cancelled_by_others_and_late_is_cancelled():
    deadlines = Deadlines(BOUND_S)

    async def work() -> None:
        with deadlines.bounded():
            try:
                await never()
            except asyncio.CancelledError:
                task.cancel()  # while it is being cut
                raise

    task = asyncio.get_running_loop().create_task(work())
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_failure_of_the_work_passes_through():
    with pytest.raises(KeyError), Deadlines(BOUND_S).bounded():
        raise KeyError("k")


async def test_work_that_answers_although_it_was_cut_may_be_followed_by_more():
    """The cut is taken back, so that the task's next await does not end by it."""
    with Deadlines(BOUND_S).bounded(), suppress(asyncio.CancelledError):
        await never()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_work_that_began_later_is_cut_later():
    deadlines = Deadlines(BOUND_S)

    async def cut_late(begin_after_s: float) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(begin_after_s):
                await never()
        with pytest.raises(TimeoutError), deadlines.bounded():
            await never()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(cut_late(0))
        group.create_task(cut_late(BOUND_S / 2))
