"""Waiting for an event no longer than so long, and telling of what lasts now and then."""

from __future__ import annotations

import asyncio
from typing import Final

REMIND_S_MIN: Final = 5.0
REMIND_S_MAX: Final = 300.0
"""Of a trouble that lasts, people are told again after the one, then twice as late each time, up to
the other."""


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Whether the event is set, waiting for it at most so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


class Reminders:
    """Says when to tell people of a trouble: at once, and while it lasts ever more rarely. Pure."""

    def __init__(self) -> None:
        self._kind: str | None = None
        self._next_at = 0.0
        self._pause_s = REMIND_S_MIN

    def due(self, kind: str, now: float) -> bool:
        """Whether to tell of it now; it was met just now, again or for the first time.

        Args:
            kind: what it is; another one is told at once.
            now: seconds by a clock that never goes back.
        """
        if kind != self._kind:
            self._kind, self._pause_s = kind, REMIND_S_MIN
        elif now < self._next_at:
            return False
        else:
            self._pause_s = min(2 * self._pause_s, REMIND_S_MAX)
        self._next_at = now + self._pause_s
        return True

    def end(self) -> bool:
        """The trouble is over: the next one is told at once. Whether there was any."""
        was, self._kind = self._kind is not None, None
        return was
