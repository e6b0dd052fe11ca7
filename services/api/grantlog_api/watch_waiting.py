"""What waits for one of a node's watchers, of all that a watch service says on one stream."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol

from grantlog.errors import GrantlogError
from grantlog.serving.watch_message import WatchMessage
from grantlog_api.watch_asking import ProxyLimits, silent

CREDIT_BYTES: Final = 256 * 1024
"""Of responses that wait for one watcher; the last of them may take more."""

_HELD_UP_S: Final = 0.05
"""A timer that is later than this was held up by this process: what has come is read first."""


class Conversation(Protocol):
    """The stream, as one of its watchers knows it; a watcher is a number."""

    @property
    def limits(self) -> ProxyLimits:
        """The bounds."""
        ...

    def grant(self, number: int, taken: int) -> None:
        """A watcher has taken so many bytes."""
        ...

    def leave(self, number: int) -> None:
        """A watcher has left."""
        ...

    def look(self, seconds: float) -> None:
        """A watcher heard nothing for so many seconds."""
        ...


class Watched:
    """A watcher on the stream: an `Asking`."""

    __slots__ = (
        "_bound_s",
        "_conversation",
        "_ended",
        "_is_excused",
        "_number",
        "_taken",
        "_timer",
        "_waiter",
        "_waiting",
        "_waits_since",
    )

    def __init__(self, conversation: Conversation, number: int) -> None:
        self._conversation = conversation
        self._number = number
        self._waiting: deque[WatchMessage] = deque()
        self._taken = 0
        self._ended: Exception | None = None
        self._bound_s = conversation.limits.answer_s_max
        self._waiter: asyncio.Future[None] | None = None
        self._waits_since = 0.0
        self._is_excused = False
        self._timer: asyncio.TimerHandle | None = None

    async def next(self) -> WatchMessage:
        """As `Asking.next`."""
        if not self._waiting:
            await self._more()
        message = self._waiting.popleft()
        self._taken += len(message.SerializeToString())
        if 2 * self._taken >= CREDIT_BYTES:
            self._conversation.grant(self._number, self._taken)
            self._taken = 0
        return message

    async def _more(self) -> None:
        """Return when something waits; no longer than a service may say nothing."""
        if self._ended is not None:
            raise self._ended
        loop = asyncio.get_running_loop()
        self._waits_since = loop.time()
        self._is_excused = False
        self._waiter = loop.create_future()
        if self._timer is None:
            self._timer = loop.call_later(self._bound_s, self._look, loop)
        try:
            await self._waiter
        finally:
            self._waiter = None
        if not self._waiting:
            assert self._ended is not None, "woken for a message or the end"
            raise self._ended

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """The timer stands where it may for one wait after the other: setting it costs too."""
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        left = self._waits_since + self._bound_s - loop.time()
        if left < -_HELD_UP_S and not self._is_excused:
            self._is_excused, left = True, self._bound_s / 4
        if left > 0:
            self._timer = loop.call_later(left, self._look, loop)
            return
        self.finish(silent(self._bound_s))
        self._conversation.look(self._bound_s)

    def push(self, message: WatchMessage) -> None:
        """The service said this."""
        self._bound_s = self._conversation.limits.silence_s_max
        self._waiting.append(message)
        self._wake()

    def finish(self, error: Exception) -> None:
        """The service says nothing behind what waits already."""
        if self._ended is None:
            self._ended = error
            self._wake()

    def end(self, error: GrantlogError) -> None:
        """As `Asking.end`."""
        self._waiting.clear()
        self._ended = error
        self._wake()

    def close(self) -> None:
        """As `Asking.close`."""
        self._conversation.leave(self._number)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
