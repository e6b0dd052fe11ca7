"""Waiting for signals of writers: LISTEN on a connection of its own, polling where that fails."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Final

import asyncpg

from grantlog.errors import GrantlogError
from grantlog.store.postgres.driver_errors import DRIVER_ERRORS
from grantlog.store.postgres.pool import connect
from grantlog.store.postgres.signal import CHANNEL

POLL_S: Final = 0.2
"""How often to look while there is no connection that could tell."""


class Listener:
    """For one follower. A signal that comes while nobody waits ends the next wait at once.

    Args:
        dsn: leads to the server itself: behind a transaction pooler LISTEN hears nothing.
        stack: closes the connection.
    """

    def __init__(self, dsn: str, stack: AsyncExitStack) -> None:
        self._dsn = dsn
        self._stack = stack
        self._signalled = asyncio.Event()
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    async def wait(self, timeout_s: float) -> None:
        """Return on a signal, on a connection that came or went, or after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                if self._connection is None or self._connection.is_closed():
                    await self._connect()
                    return  # signals may have been missed before
                await self._signalled.wait()
        except TimeoutError:
            return
        except (GrantlogError, *DRIVER_ERRORS):
            await asyncio.sleep(min(timeout_s, POLL_S))
        finally:
            self._signalled.clear()

    async def _connect(self) -> None:
        self._connection = None
        await self._stack.aclose()
        connection = await self._stack.enter_async_context(
            connect(self._dsn, application_name="grantlog listen")
        )
        connection.add_termination_listener(self._wake)
        await connection.add_listener(CHANNEL, self._wake)
        self._connection = connection

    def _wake(self, *_: object) -> None:
        self._signalled.set()
