"""The native gRPC server, with a short way for calls that have one answer.

`pygrpc_native.aio` serves streams, reflection and health as it does by itself. For plain calls it
makes a context, wraps each piece of metadata and wakes a thread for every batch of requests; here
a call is one task over bytes, and as long as requests keep coming the loop takes them by itself.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Mapping
from inspect import CORO_CREATED, getcoroutinestate
from typing import Any, Final

from pygrpc_native import EVENT_CANCEL, STREAM_CLOSED, STREAM_FULL
from pygrpc_native.aio import Server

from grantlog.serving.plain_call import Metadata, PlainAnswer, RefusedError
from grantlog.wire.status import Code

IO_THREADS: Final = 1
"""Threads that read and write sockets; the loop is what is busy."""

BATCH_MAX: Final = 64
"""Requests that are taken from the front at once."""

ROOM_S_MIN: Final = 0.001
"""Between two looks whether the reader of a stream has left room; doubled with each one,"""
ROOM_S_MAX: Final = 0.1
"""up to this."""


class _PlainCall:
    """A call that is being answered; its face is what the library's `stop` looks at."""

    __slots__ = ("call_id", "cancelled", "task")

    def __init__(self, call_id: int) -> None:
        self.call_id = call_id
        self.task: asyncio.Task[None] | None = None
        self.cancelled = False

    def cancel(self) -> None:
        """The client left, or its deadline passed."""
        self.cancelled = True
        if self.task is not None:
            self.task.cancel()


class NativeServer(Server):
    """The library's server; calls given to `add_plain` go the short way."""

    def __init__(self, *, options: Iterable[tuple[str, Any]], request_bytes_max: int) -> None:
        super().__init__(options=options, io_threads=IO_THREADS)
        self._request_bytes_max = request_bytes_max
        self._plain: dict[str, PlainAnswer] = {}
        self._plain_table: list[PlainAnswer | None] = []
        self._told: list[tuple[int, bytes, Metadata]] = []
        self._turn = threading.Semaphore(1)

    def add_plain(self, answers: Mapping[str, PlainAnswer]) -> None:
        """Answer methods, by full name, that have been registered with handlers too."""
        self._plain.update(answers)

    def _dispatch(self) -> None:
        """In a thread: wait for requests while the loop has none, and wake it."""
        front, loop = self._front, self._loop
        assert front is not None
        assert loop is not None
        while self._turn.acquire() and (events := front.recv_batch_details(BATCH_MAX)) is not None:
            try:
                loop.call_soon_threadsafe(self._arrived, events)
            except RuntimeError:  # the loop was closed without stop()
                front.close()
                return

    def _arrived(self, events: list[tuple[Any, ...]]) -> None:
        """Begin to answer, and look for more once what can run has run."""
        assert self._front is not None
        assert self._loop is not None
        self._on_events(events)
        self._loop.call_soon(self._look)

    def _look(self) -> None:
        """Go on with what has come meanwhile; where there is nothing, the thread waits for it."""
        assert self._front is not None
        events = self._front.recv_batch_details(BATCH_MAX, 0)
        if events:
            self._arrived(events)
        else:
            self._turn.release()

    def _on_events(self, events: list[tuple[Any, ...]]) -> None:
        loop = self._loop
        table: list[PlainAnswer | None] = self._plain_table or self._tabulated()
        assert loop is not None
        others: list[tuple[Any, ...]] = []
        for event in events:
            kind, call_id, payload, details = event[0], event[1], event[3], event[5]
            method_id: int = event[2]
            if kind == EVENT_CANCEL:
                self._cancel(call_id)
                continue
            answer = table[method_id]
            if answer is None or self._stopping:
                others.append(event)
                continue
            call = _PlainCall(call_id)
            self._calls[call_id] = call  # type: ignore[assignment]
            call.task = loop.create_task(self._answer(call, answer, payload, details[0]))
        if others:  # streams, health, and what comes while the node stops
            super()._on_events(others)

    def _cancel(self, call_id: int) -> None:
        """The client of a call left, or its deadline passed."""
        call: Any = self._calls.get(call_id)
        if call is None:
            return
        call.cancel()
        if getcoroutinestate(call.task.get_coro()) == CORO_CREATED:
            del self._calls[call_id]  # it will never run, not even to its end

    async def _send(self, call: Any, context: Any, response: Any) -> bool:
        """Send a message of a stream, as soon as its reader leaves room; False if the reader left.

        The library waits for room in a thread, which stays with a reader who never reads, also
        when the stream was cut: a few hundred such streams leave no thread for anything else.
        """
        front = self._front
        data = self._encode(call, context, response)
        if front is None or data is None:
            return False
        context._initial_sent = True  # noqa: SLF001 - as the library's own
        pause_s = ROOM_S_MIN
        while (sent := front.stream_try_send(call.call_id, data)) == STREAM_FULL:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, ROOM_S_MAX)
        return sent != STREAM_CLOSED

    def _tabulated(self) -> list[PlainAnswer | None]:
        """The short answers by the front's numbers of methods, known once it has started."""
        numbered: list[Any] = self._table  # type: ignore[assignment]
        paths: list[str] = [entry[0] for entry in numbered]
        self._plain_table = [self._plain.get(path) for path in paths]
        return self._plain_table

    async def _answer(
        self, call: _PlainCall, answer: PlainAnswer, payload: bytes, metadata: Metadata
    ) -> None:
        front = self._front
        assert front is not None
        try:
            if len(payload) > self._request_bytes_max:
                raise RefusedError(Code.RESOURCE_EXHAUSTED, self._too_large(payload))  # noqa: TRY301
            told, trailers = await answer(payload, metadata)
            self._hand_over(call.call_id, told, trailers)
        except RefusedError as refused:
            front.fail(call.call_id, refused.code, refused.message, refused.trailers)
        except asyncio.CancelledError:
            # Where the client left nobody hears it; where the node stops, stop() says so.
            if not call.cancelled and not self._stopping:
                front.fail(call.call_id, Code.CANCELLED, "Cancelled")
        finally:
            del self._calls[call.call_id]

    def _hand_over(self, call_id: int, told: bytes, trailers: Metadata) -> None:
        """Hand an answer to the front, together with all others that are ready by then.

        Each hand-over may wake the thread that writes to sockets; one after the other without work
        between them they share one waking and one write (benchmarks/door.py).
        """
        if not self._told:
            self._loop.call_soon(self._hand_all_over)  # type: ignore[union-attr]
        self._told.append((call_id, told, trailers))

    def _hand_all_over(self) -> None:
        told, self._told = self._told, []
        respond = self._front.respond  # type: ignore[union-attr]
        for call_id, answer, trailers in told:
            respond(call_id, answer, None, trailers)

    def _too_large(self, payload: bytes) -> str:
        told = f"{len(payload)} vs. {self._request_bytes_max}"
        return f"SERVER: Received message larger than max ({told})"
