"""Waiting for an event no longer than so long."""

from __future__ import annotations

import asyncio

import pytest

from grantlog.waiting import set_within


async def test_an_event_that_is_set_needs_no_time() -> None:
    event = asyncio.Event()
    event.set()
    assert await set_within(event, 0)


async def test_an_event_that_comes_ends_the_wait() -> None:
    event = asyncio.Event()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        waiting = group.create_task(set_within(event, 3_600))
        group.create_task(_set(event))
    assert waiting.result()


async def test_an_event_that_does_not_come_is_waited_for_no_longer() -> None:
    assert not await set_within(asyncio.Event(), 0.001)


async def test_a_deadline_of_the_caller_is_not_taken_for_its_own() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await set_within(asyncio.Event(), 3_600)


async def _set(event: asyncio.Event) -> None:
    event.set()
