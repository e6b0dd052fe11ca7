"""Waiting for an event no longer than so long, and telling of what lasts now and then."""

from __future__ import annotations

import asyncio

import pytest

from grantlog.waiting import REMIND_S_MAX, Reminders, set_within


async def test_an_event_that_is_set_needs_no_time() -> None:
    event = asyncio.Event()
    event.set()
    assert await set_within(event, 0)


async def test_an_event_that_comes_ends_the_wait() -> None:
    event = asyncio.Event()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        waiting = group.create_task(set_within(event, 3_600))
        group.create_task(_set(event))
    assert waiting.result()


async def test_an_event_that_does_not_come_is_waited_for_no_longer() -> None:
    assert not await set_within(asyncio.Event(), 0.001)


async def test_a_deadline_of_the_caller_is_not_taken_for_its_own() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await set_within(asyncio.Event(), 3_600)


def test_what_lasts_is_told_at_once_and_then_ever_more_rarely() -> None:
    told = Reminders()
    times = [second for second in range(2_000) if told.due("away", second)]
    assert times == [0, 5, 15, 35, 75, 155, 315, 615, 915, 1215, 1515, 1815]
    assert times[-1] - times[-2] == REMIND_S_MAX


def test_another_trouble_and_one_behind_an_end_are_told_at_once() -> None:
    told = Reminders()
    assert not told.end()
    assert [told.due("away", 0), told.due("away", 1), told.due("refused", 2)] == [True, False, True]
    assert told.due("refused", 3) is False
    assert told.end()
    assert told.due("refused", 4)
    assert not told.due("refused", 8)  # its pauses began anew
    assert told.due("refused", 9)


async def _set(event: asyncio.Event) -> None:
    event.set()
