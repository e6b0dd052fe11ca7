"""Tell followers, after a commit, that a tenant changed.

Never inside the transaction: NOTIFY takes a lock there that all commits of the server wait for.
Here it costs one small transaction on a connection of its own, at most once per `PAUSE_S`. A signal
that gets lost costs nothing but time: followers also poll.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import asyncpg

from grantlog.background import background_tasks
from grantlog.errors import GrantlogError
from grantlog.model.ids import TenantId
from grantlog.store.postgres.driver_errors import DRIVER_ERRORS
from grantlog.store.postgres.pool import connect
from grantlog.store.postgres.statements import load

CHANNEL: Final = "grantlog_changes"
PAUSE_S: Final = 0.02
ANY_TENANT: Final = "*"
"""The payload where the tenants' ids do not fit."""

PAYLOAD_BYTES_MAX: Final = 7_900
"""Postgres refuses 8,000 and more."""

_SQL: Final = load("signal")
_NOTIFY: Final = _SQL["notify"]


def payload_of(tenants: set[TenantId]) -> str:
    """Ids separated by newlines, which ids cannot hold."""
    text = "\n".join(sorted(tenants))
    return text if len(text.encode()) <= PAYLOAD_BYTES_MAX else ANY_TENANT


class Signal:
    """Gathers the tenants that changed and notifies about them."""

    def __init__(self, group: asyncio.TaskGroup, stack: AsyncExitStack, dsn: str) -> None:
        self._group = group
        self._stack = stack
        self._dsn = dsn
        self._changed: set[TenantId] = set()
        self._sending = False
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    def changed(self, tenant: TenantId) -> None:
        """Note that a tenant changed; returns at once."""
        self._changed.add(tenant)
        if not self._sending:
            self._sending = True
            self._group.create_task(self._send(), name="notify followers")

    async def _send(self) -> None:
        try:
            while self._changed:
                payload = payload_of(self._changed)
                self._changed.clear()
                await self._notify(payload)
                await asyncio.sleep(PAUSE_S)
        finally:
            self._sending = False

    async def _notify(self, payload: str) -> None:
        try:
            connection = self._connection
            if connection is None or connection.is_closed():
                connection = self._connection = await self._connect()
            await connection.execute(_NOTIFY, CHANNEL, payload, timeout=5.0)
        except (GrantlogError, *DRIVER_ERRORS):
            self._connection = None  # followers poll meanwhile; the next commit tries again

    async def _connect(self) -> asyncpg.Connection[asyncpg.Record]:
        await self._stack.aclose()
        settings = {"synchronous_commit": "off"}  # it carries nothing that could be lost
        return await self._stack.enter_async_context(
            connect(self._dsn, application_name="grantlog signal", settings=settings)
        )


@asynccontextmanager
async def open_signal(dsn: str) -> AsyncGenerator[Signal]:
    """A signal for the block; `dsn` leads to the primary directly or through a pooler."""
    async with AsyncExitStack() as stack, background_tasks() as group:
        yield Signal(group, stack, dsn)
