"""Compiling beside the event loop, and how many may wait for it."""

from __future__ import annotations

import asyncio
from threading import Event

import pytest

from grantlog.app.schema_cache import COMPILES_WAITING_MAX
from grantlog.errors import UnavailableError
from tests.unit.app.world import Node


async def test_more_texts_than_may_wait_are_refused_at_once():
    cache = Node().cache
    go_on = Event()
    async with asyncio.TaskGroup() as group:
        waiting = [
            group.create_task(cache.in_thread(go_on.wait)) for _ in range(COMPILES_WAITING_MAX)
        ]
        await asyncio.sleep(0)
        with pytest.raises(UnavailableError, match="too many schemas"):
            await cache.in_thread(go_on.wait)
        go_on.set()
    assert all(task.result() for task in waiting)
    assert await cache.in_thread(go_on.wait)
