"""Waits that a test ends: who goes on at which await is its choice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from grantlog.errors import GrantlogError
from grantlog.store.memory.reader import MemoryFactReader


class Turns:
    """Waits that end when the director says so."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[None]] = []

    async def point(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        await turn

    def around(self, port: Any) -> Any:
        return _Slow(port, self)

    async def settle(self) -> None:
        """Let everybody run who does not wait for the director."""
        ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        while ready:
            await asyncio.sleep(0)


class _Slow:
    """A port whose every call waits for its turn before and behind it."""

    def __init__(self, port: Any, turns: Turns) -> None:
        self._port, self._turns = port, turns

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._port, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            await self._turns.point()
            answer = await method(*args, **kwargs)
            await self._turns.point()
            return answer

        return call


class LaggingFacts:
    """A replica that may be behind; then the primary answers."""

    def __init__(self, replica: MemoryFactReader, primary: MemoryFactReader) -> None:
        self._replica, self._primary = replica, primary

    async def read(self, tenant, revision, keys, **epoch):
        try:
            return await self._replica.read(tenant, revision, keys, **epoch)
        except GrantlogError:
            return await self._primary.read(tenant, revision, keys, **epoch)
