"""HTTP/1.1 connections: bounds that uvicorn leaves open, and the short way of plain requests.

uvicorn's protocol reads HTTP and keeps the order of what comes on a connection. A request that
`rest_short` knows as short is kept from becoming an ASGI application's, unless it has to wait for
another one; all else goes on as uvicorn has it.
"""

from __future__ import annotations

import asyncio
import math
from inspect import CORO_CREATED, getcoroutinestate
from typing import Any, Final, cast

from uvicorn.protocols.http.flow_control import service_unavailable
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from grantlog.errors import UnavailableError
from grantlog.wire.status import Code, WireStatus, error_body, status_of
from grantlog_api.rest_errors import CUT, JSON, failure
from grantlog_api.rest_leaving import Leaving
from grantlog_api.rest_reader import ReadHttp
from grantlog_api.rest_short import ShortCall, ShortWay, refusal, short_call

HEAD_BYTES_MAX: Final = 64 * 1024
"""Of a head, and of anything else that comes without an end and is no body."""
HEAD_S_MAX: Final = 10.0
"""From the connection's or the request's first byte to the end of its headers; and what is sent of
a request once it is answered."""
SHORT_S_MAX: Final = 0.1
"""From a head to the last byte of its body, on the short way."""

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
    """uvicorn's protocol; what is too large or too slow ends the connection.

    Args:
        short: answers short calls; None sends all requests to the application.
    """

    def __init__(self, *args: Any, short: ShortWay | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._short = short
        self._in_head = True
        self._moved = False
        self._idle_bytes = 0
        self._reading: ShortCall | None = None
        self._body_timer: asyncio.TimerHandle | None = None
        self._ends_at = math.inf
        self._end_timer: asyncio.TimerHandle | None = None
        self._running: Any = None
        self._leaving: Leaving | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin the first head's time."""
        super().connection_made(transport)
        self._end_in(HEAD_S_MAX)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers, and tell who works for the client."""
        self._stop_body_timer()
        if self._end_timer is not None:
            self._end_timer.cancel()
        self._reading = None
        if type(self._running) is ShortCall:
            self._leave(self._running)
        elif self._leaving is not None:
            self._leaving.leave()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """End the connection once what has come is answered; what has come in part counts."""
        self._read_on()
        super().shutdown()

    def data_received(self, data: bytes) -> None:
        """Go on with a connection, and bound what comes of a request beside its body."""
        self._moved = False
        super().data_received(data)
        if self._moved:
            self._idle_bytes = 0
        else:
            self._idle_bytes += len(data)
            if self._idle_bytes > HEAD_BYTES_MAX:
                self._refuse(_TOO_LARGE)
        if self._reading is not None and self._body_timer is None:
            self._body_timer = self.loop.call_later(SHORT_S_MAX, self._read_on)
        owed: Any = self.cycle
        if self._ends_at == math.inf and (owed is None or owed.response_complete):
            self._end_in(HEAD_S_MAX)

    def send_400_response(self, msg: str) -> None:
        """Say that what came is no request."""
        del msg
        self._refuse(_UNREADABLE)

    def on_message_begin(self) -> None:
        """A further request on the connection begins."""
        self._in_head = True
        self._ends_at = math.inf
        self.url = b""
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header of the head; what stands behind a body says nothing here."""
        if self._in_head:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is complete; its time and size count no more."""
        self._in_head = False
        self._moved = True
        self._ends_at = math.inf
        call = self._short_call()
        if call is None:
            self._go_long()
        else:
            self._reading = call
            self.cycle = cast("Any", call)

    def on_body(self, body: bytes) -> None:
        """A piece of the body has come."""
        self._moved = True
        if self._reading is not None:
            self._reading.body += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """All of a request has come."""
        self._moved = True
        call = self._reading
        if call is None:
            super().on_message_complete()
            return
        self._reading = None
        self._stop_body_timer()
        self._running = call
        call.task = self.loop.create_task(self._answer(call), name="answer REST")
        self.tasks.add(call.task)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Run a request, or say in our words that there are too many."""
        self._running = cycle
        self._leaving = Leaving(cast("Any", cycle.scope))
        super()._start_asgi_task(cycle, _BUSY if app is service_unavailable else app)

    def _short_call(self) -> ShortCall | None:
        """The request as a short call, if it is one and nothing stands before it."""
        most = self.limit_concurrency or math.inf
        owed: Any = self.cycle
        parser: Any = self.parser
        if (
            self._short is None
            or (owed is not None and not owed.response_complete)
            or parser.get_method() != b"POST"
            or parser.get_http_version() != "1.1"
            or not parser.should_keep_alive()
            or len(self.connections) >= most
            or len(self.tasks) >= most
        ):
            return None
        return short_call(self.url, self.headers)

    def _go_long(self) -> None:
        """Have the application answer the request whose head has come."""
        url, headers = self.url, self.headers
        super().on_message_begin()  # which forgets them
        self.url = url
        self.headers += headers
        self.expect_100_continue = any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in headers
        )
        super().on_headers_complete()

    def _read_on(self) -> None:
        """A short call whose body takes its time is one for the application."""
        call, self._reading = self._reading, None
        self._stop_body_timer()
        if call is None or self.transport.is_closing():
            return
        self.cycle = cast("Any", None)
        self._go_long()
        if call.body:
            super().on_body(call.body)

    async def _answer(self, call: ShortCall) -> None:
        assert self._short is not None
        try:
            status, lines, body = await self._short.answer(call)
            if self.flow.write_paused:
                await self.flow.drain()
            self._write(call, status, lines, body)
        except asyncio.CancelledError:
            if call.disconnected:
                return  # nobody hears it
            self._write(call, *refusal(CUT))
            raise
        finally:
            self.tasks.discard(call.task)
            if not call.response_complete:
                self.close_when_read()

    def _write(self, call: ShortCall, status: int, lines: bytes, body: bytes) -> None:
        """Send an answer as uvicorn sends it, and go on with the connection."""
        assert self._short is not None
        if call.disconnected:
            return
        call.response_complete = True
        self.transport.write(
            b"%b%bcontent-length: %d\r\ncontent-type: application/json\r\n%b\r\n%b"
            % (
                self._short.beginning(status, self.server_state.default_headers),
                lines,
                len(body),
                b"" if call.keep_alive else b"connection: close\r\n",
                body,
            )
        )
        if not call.keep_alive:
            self.close_when_read()
        if self.pipeline:
            self.on_response_complete()
            return
        self.server_state.total_requests += 1
        if call.keep_alive:
            self._end_in(HEAD_S_MAX if self._in_head else self.timeout_keep_alive)

    def _leave(self, call: ShortCall) -> None:
        """The client of a call has left; whoever works for it is cancelled."""
        if call.response_complete:
            return
        call.disconnected = True
        call.task.cancel()
        if getcoroutinestate(call.task.get_coro()) == CORO_CREATED:
            self.tasks.discard(call.task)  # it will never run, not even to its end

    def _refuse(self, response: bytes) -> None:
        """End the connection for what came last, which cannot be read.

        What came whole before that is answered first. Its client learns by the connection's end
        that nothing behind it was read: a refusal there would be taken for its answer.
        """
        owed: Any = self.cycle
        if self.pipeline and owed.more_body:  # it waits, and will never be whole
            self.pipeline.popleft()
            self.cycle = owed = self.pipeline[0][0] if self.pipeline else self._running
        elif owed is None or owed.response_complete or owed.more_body:
            if not self.transport.is_closing():
                if owed is None or owed.response_complete or not owed.response_started:
                    self.transport.write(response)
                self.close_when_read()
            return
        owed.keep_alive = False
        self.flow.pause_reading()

    def _end_in(self, seconds: float) -> None:
        """Have the connection end then, unless a head is complete before."""
        self._ends_at = self.loop.time() + seconds
        timer = self._end_timer
        if timer is not None and timer.when() > self._ends_at:
            timer.cancel()
            timer = None
        if timer is None:
            self._end_timer = self.loop.call_at(self._ends_at, self._look)

    def _look(self) -> None:
        """End the connection if its time is over; times change more often than this timer."""
        self._end_timer = None
        if self.loop.time() >= self._ends_at:
            self.close_when_read()
        elif self._ends_at < math.inf:
            self._end_timer = self.loop.call_at(self._ends_at, self._look)

    def _stop_body_timer(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None
