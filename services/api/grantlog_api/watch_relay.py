"""All watchers of this node at one watch service, on one stream: what is said on it is batched.

Responses pass through as bytes. What a watcher has not taken is bounded by its credit, so one that
does not read holds up nobody: its credit is spent, and the service keeps for it what it keeps for
anyone, then cuts it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import structlog
from grpc import aio

from grantlog.api.v1 import service_pb2
from grantlog.background import background_tasks
from grantlog.serving.watch_message import WatchMessage
from grantlog.watch.v1 import service_pb2 as pb
from grantlog.watch.v1 import service_pb2_grpc
from grantlog.wire.status import Code
from grantlog_api.watch_asking import (
    Asking,
    Metadata,
    ProxyLimits,
    ended,
    silent,
    status_of_call,
)
from grantlog_api.watch_place import GoneError
from grantlog_api.watch_waiting import CREDIT_BYTES, Watched

_LOG: Final = structlog.get_logger("grantlog.watch")

_BATCH_BYTES: Final = 256 * 1024
"""Of beginnings that are sent in one message; the last of them may take more."""
_AGAIN_S: Final = 30.0
"""A service that answers calls alone is asked for the stream again after this."""

_StreamCall: TypeAlias = "aio.StreamStreamCall[pb.Asked, pb.Told]"


class Relay:
    """The way to one service. A stream is opened by the first watcher, and anew when it has ended.

    Args:
        channel: leads to the service.
        limits: the bounds.
    """

    def __init__(self, channel: aio.Channel, limits: ProxyLimits) -> None:
        self._stub = service_pb2_grpc.RelayStub(channel)
        self._limits = limits
        self._open: _Conversation | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._not_before = 0.0

    @property
    def is_known(self) -> bool:
        """Whether the service is asked this way: it did not say lately that it knows none such."""
        return asyncio.get_running_loop().time() >= self._not_before

    def ask(self, request: service_pb2.WatchRequest, metadata: Metadata) -> Asking:
        """Begin to watch."""
        if self._open is None or self._open.is_over:
            self._open = _Conversation(self._stub.Watch(), self._limits, self._is_not_known)
            # No watcher's group: the stream outlives the one that opened it. `close` waits for it.
            loop = asyncio.get_running_loop()
            task = loop.create_task(self._open.run(), name="relays a watch service")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return self._open.begin(request, metadata)

    def _is_not_known(self) -> None:
        _LOG.info("a watch service is of an older version: it is asked a call for each watcher")
        self._not_before = asyncio.get_running_loop().time() + _AGAIN_S

    async def close(self) -> None:
        """End the stream; watchers that are on it hear that it is gone."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


class _Conversation:
    """One stream, from its opening to its end."""

    def __init__(
        self, call: _StreamCall, limits: ProxyLimits, not_known: Callable[[], None]
    ) -> None:
        self._call = call
        self.limits = limits
        self._not_known = not_known
        self._watched: dict[int, Watched] = {}
        self._number = 0
        self._begins: deque[pb.Begin] = deque()
        self._credits: dict[int, int] = {}
        self._stops: list[int] = []
        self._has_more = asyncio.Event()
        self._heard_at: float | None = None
        self._because = ""
        self.is_over = False

    def begin(self, request: service_pb2.WatchRequest, metadata: Metadata) -> Watched:
        """One more watcher."""
        self._number += 1
        begin = pb.Begin(
            watcher=self._number,
            tenant_id=request.tenant_id,
            snap_token=request.snap_token,
            metadata=dict(metadata),
            credit_bytes=CREDIT_BYTES,
        )
        self._begins.append(begin)
        self._has_more.set()
        watched = self._watched[self._number] = Watched(self, self._number)
        return watched

    def grant(self, number: int, taken: int) -> None:
        """A watcher has taken so many bytes."""
        self._credits[number] = self._credits.get(number, 0) + taken
        self._has_more.set()

    def leave(self, number: int) -> None:
        """A watcher has left."""
        if self._watched.pop(number, None) is not None:
            self._stops.append(number)
            self._has_more.set()

    def look(self, seconds: float) -> None:
        """A watcher heard nothing for so long; if nobody did, the stream is given up."""
        now = asyncio.get_running_loop().time()
        if self._heard_at is None or now - self._heard_at >= self.limits.silence_s_max:
            self._because = str(silent(seconds))
            self._call.cancel()

    async def run(self) -> None:
        """Send and hear until the stream ends, and tell whoever is still on it."""
        status = Code.OK, "", b""
        try:
            async with background_tasks() as group:
                sending = group.create_task(self._send(), name="asks a watch service")
                try:
                    while isinstance(told := await _read(self._call), pb.Told):
                        self._hear(told)
                finally:
                    sending.cancel()
        except aio.AioRpcError as error:
            status = status_of_call(error)
        except asyncio.CancelledError:
            status = Code.CANCELLED, self._because, b""
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
        finally:
            self._call.cancel()
            self._end(*status)

    def _hear(self, told: pb.Told) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        watched = self._watched
        for each in told.messages:
            message = WatchMessage(each.snap_token, has_changes=each.has_changes, raw=each.response)
            for number in each.watchers:
                if number in watched:
                    watched[number].push(message)
        for end in told.ends:
            one = watched.pop(end.watcher, None)
            if one is not None:
                one.finish(ended(Code(end.code), end.text, end.details))

    def _end(self, code: Code, text: str, details: bytes) -> None:
        self.is_over = True
        if code is Code.UNIMPLEMENTED and self._heard_at is None:
            self._not_known()
            code = Code.UNAVAILABLE
        watched, self._watched = self._watched, {}
        for each in watched.values():
            gone = ended(code, text, details)
            if not isinstance(gone, GoneError):  # it concerns this stream, not the watcher
                gone = GoneError(str(gone))
            each.finish(gone)

    async def _send(self) -> None:
        """Send what waits, meanwhile more comes to wait; a failure is told by what is heard."""
        while True:
            await self._has_more.wait()
            try:
                await self._call.write(self._asked())
            except (aio.AioRpcError, asyncio.InvalidStateError):
                return

    def _asked(self) -> pb.Asked:
        asked, size = pb.Asked(), 0
        while self._begins and size < _BATCH_BYTES:
            begin = self._begins.popleft()
            asked.begins.append(begin)
            size += begin.ByteSize()
        if not self._begins:  # nobody leaves before he came
            for number, taken in self._credits.items():
                asked.credits.add(watcher=number, bytes=taken)
            asked.stops.extend(self._stops)
            self._credits.clear()
            self._stops.clear()
            self._has_more.clear()
        return asked


async def _read(call: _StreamCall) -> Any:
    """The next message of a stream, or what says that it ended without an error."""
    return await call.read()
