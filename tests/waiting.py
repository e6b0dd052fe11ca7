"""Waiting for a condition, the tests' way of not sleeping."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest


async def until(
    holds: Callable[[], bool] | Callable[[], Awaitable[bool]], *, within_s: float = 60.0
) -> None:
    """Return as soon as the condition holds; TimeoutError if it does not within the bound.

    The bound is for what never happens: a machine may be many times slower than this one.
    """
    async with asyncio.timeout(within_s):
        while True:
            answer = holds()
            if await answer if isinstance(answer, Awaitable) else answer:
                return
            await asyncio.sleep(0.01)


async def never() -> None:
    """Wait for somebody to end the task; the test fails if nobody does within 60 s."""
    await asyncio.sleep(60)
    pytest.fail("nobody ended what waits for ever")
