"""Compiling beside the event loop, and how many may wait for it."""

from __future__ import annotations

import asyncio
from threading import Event

import pytest

from grantlog.app.schema_cache import COMPILES_WAITING_MAX
from grantlog.errors import UnavailableError
from tests.unit.app.world import SCHEMA, T1, Node


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


async def test_what_is_being_loaded_while_all_is_dropped_is_not_kept():
    """It may be a version that the primary's last failover lost."""
    node, go_on = Node(), Event()
    written = await node.schemas.write(T1, SCHEMA)
    node.cache.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(node.cache.in_thread(go_on.wait))
        loading = group.create_task(node.cache.load(T1, written.version))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        node.cache.clear()
        go_on.set()
    assert loading.result().version == written.version
    assert node.cache.find(T1, written.version) is None
    assert await node.cache.load(T1, written.version)
    assert node.cache.find(T1, written.version)
