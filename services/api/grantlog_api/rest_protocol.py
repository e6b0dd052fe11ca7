"""HTTP/1.1 connections with bounds that uvicorn leaves open: the size and the time of a head."""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

from uvicorn.protocols.http.flow_control import service_unavailable
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from grantlog.errors import UnavailableError
from grantlog.wire.status import Code, WireStatus, error_body, status_of
from grantlog_api.rest_errors import JSON, failure
from grantlog_api.rest_leaving import Leaving
from grantlog_api.rest_reader import ReadHttp

HEAD_BYTES_MAX: Final = 64 * 1024
HEAD_S_MAX: Final = 10.0
"""From the connection's or the request's first byte to the end of its headers."""

CONNECTIONS_MAX: Final = 4_096
"""Connections and running requests of one process; more are answered with 503."""

_BUSY: Final[Any] = failure(
    status_of(UnavailableError(f"this node has {CONNECTIONS_MAX} connections, as many as it may"))
)
_BUSY.headers["connection"] = "close"


def _refusal(line: str, problem: str) -> bytes:
    """A whole response to a request that cannot be read, which ends the connection."""
    body = error_body(WireStatus(Code.INVALID_ARGUMENT, problem))
    head = f"HTTP/1.1 {line}\r\nconnection: close\r\ncontent-type: {JSON}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


_TOO_LARGE: Final = _refusal(
    "431 Request Header Fields Too Large",
    f"the head of the request is larger than {HEAD_BYTES_MAX} bytes",
)
_UNREADABLE: Final = _refusal("400 Bad Request", "this is no HTTP/1.1 request")


class BoundedHttp(ReadHttp):
    """uvicorn's protocol; a head that is too large or too slow ends the connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._in_head = True
        self._head_timer: asyncio.TimerHandle | None = None
        self._leaving: Leaving | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin the first head's time."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer, and tell who works for the client."""
        self._stop_timer()
        if self._leaving is not None:
            self._leaving.leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what arrives as long as a head is not complete."""
        super().data_received(data)
        if not self._in_head:
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Say that what came is no request."""
        del msg
        self.transport.write(_UNREADABLE)
        self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Run a request, or say in our words that there are too many."""
        self._leaving = Leaving(cast("Any", cycle.scope))
        super()._start_asgi_task(cycle, _BUSY if app is service_unavailable else app)

    def on_message_begin(self) -> None:
        """A further request on the connection begins."""
        super().on_message_begin()
        if not self._in_head:
            self._await_head()

    def on_headers_complete(self) -> None:
        """The head is complete; its time and size count no more."""
        self._in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        self._stop_timer()
        self._head_timer = self.loop.call_later(HEAD_S_MAX, self.transport.close)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
