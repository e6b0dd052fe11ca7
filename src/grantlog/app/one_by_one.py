"""Work that is done one after the other for each key, and at once for different ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class _Line:
    """Who works on a key, and who waits for it."""

    __slots__ = ("lock", "people")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.people = 0


class OneByOne(Generic[K]):
    """A lock for each key that somebody works on; for the event loop's thread alone."""

    def __init__(self) -> None:
        self._lines: dict[K, _Line] = {}

    def __len__(self) -> int:
        return len(self._lines)

    @asynccontextmanager
    async def turn(self, key: K) -> AsyncGenerator[None]:
        """Nobody else works on the key in the block, whoever was there before or comes meanwhile.

        The lock is dropped by the last one who leaves, not by the first: others may still wait.
        """
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line()
        line.people += 1
        try:
            async with line.lock:
                yield
        finally:
            line.people -= 1
            if not line.people:
                del self._lines[key]
