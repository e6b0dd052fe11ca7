"""HTTP/1.1 clients that do not read: what waits for them ends after a while.

A program that leaves its answers unread costs nothing to run, and holds memory and one of the
connections that this node may have; closing a connection waits for what it has not read.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

UNREAD_S_MAX: Final = 30.0
"""So long a client may read nothing of what waits for it."""


class ReadHttp(HttpToolsProtocol):
    """uvicorn's protocol; a connection whose client reads nothing of what waits is cut."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unread = 0
        self._unread_timer: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for the client no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client is behind: give it its time."""
        super().pause_writing()
        self._await_reading()

    def resume_writing(self) -> None:
        """The client has read."""
        self._stop_waiting()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; what was not read keeps it open for as long as is allowed."""
        super().timeout_keep_alive_handler()
        if self.transport.is_closing():
            self._bound_the_rest()

    def close_when_read(self) -> None:
        """Close the connection; what was not read keeps it open for as long as is allowed."""
        self.transport.close()
        self._bound_the_rest()

    def _bound_the_rest(self) -> None:
        if self._unread_timer is None and self.transport.get_write_buffer_size():
            self._await_reading()

    def _await_reading(self) -> None:
        self._stop_waiting()
        self._unread = self.transport.get_write_buffer_size()
        self._unread_timer = self.loop.call_later(UNREAD_S_MAX, self._cut_if_unread)

    def _cut_if_unread(self) -> None:
        """Cut the connection if nothing was read meanwhile."""
        if self.transport.get_write_buffer_size() < self._unread:
            self._await_reading()
        else:
            self.transport.abort()

    def _stop_waiting(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None
