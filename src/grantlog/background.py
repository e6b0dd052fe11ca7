"""Tasks that run beside whoever began them, and that end before that one does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


@asynccontextmanager
async def background_tasks() -> AsyncGenerator[asyncio.TaskGroup]:
    """A task group for the block; it is left when its tasks have ended.

    A failure of the block itself comes out as it is, not wrapped into a group of exceptions.
    """
    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        try:
            yield group
        except Exception as error:  # noqa: BLE001 - raised again two lines below
            failure = error
    if failure is not None:
        raise failure
