"""What every job of this process does the same way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from grantlog.errors import GrantlogError
from grantlog.store.postgres.migrate import check_schema_range
from grantlog.store.postgres.pool import Pool, acquired
from grantlog.waiting import set_within

_LOG: Final = structlog.get_logger("grantlog.projector")
CONNECTIONS_MAX: Final = 3
"""Of one pool."""


async def require_version(pool: Pool) -> None:
    """Refuse a database of another version.

    Raises:
        PreconditionError: it is.
        UnavailableError: it does not answer.
    """
    async with acquired(pool, doing="reading the database's version") as connection:
        await check_schema_range(connection)


async def repeat(
    what: str, step: Callable[[], Awaitable[object]], every_s: float, until: asyncio.Event
) -> None:
    """Do a step again and again; what fails is told and tried again: the follower goes on."""
    while not until.is_set():
        try:
            await step()
        except GrantlogError as error:
            tell = _LOG.warning if error.retriable else _LOG.error
            tell("not done, trying again", step=what, because=error.explanation)
        await set_within(until, every_s)
