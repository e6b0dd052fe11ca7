"""Writers and watchers of the lag benchmark: one connection, frames encoded ahead, times noted.

What a message says is looked at later, so that the generator takes little of what it measures.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

from calls import WRITE_METHOD
from loadgen.grpc import GrpcConnection

from grantlog.api.v1 import service_pb2

_WATCH_METHOD: Final = "/base.v1.Watch/Watch"
_WRITE, _WATCH = 0, 1
_ANSWERS_S_MAX: Final = 60.0
_TICK_S: Final = 0.001
"""The least between two looks at what is due: the loop's timers count milliseconds, and shorter
waits spin."""

_now: Final = time.time  # noqa: TID251 - compared with the database's clock


class TrafficError(Exception):
    """A write failed or a watcher ended."""


class Traffic(asyncio.Protocol):
    """Calls and what came of them. A time is when bytes were read, in seconds since the epoch."""

    def __init__(self, authority: str) -> None:
        self._calls = GrpcConnection(authority, WRITE_METHOD, _WATCH_METHOD)
        self._transport: Any = None
        self._due: dict[int, float] = {}
        self._watchers = 0
        self._answers: list[tuple[float, float, bytes]] = []
        self._messages: list[tuple[float, bytes]] = []
        self._told: dict[str, float] = {}
        self._begun: set[int] = set()
        self._failure = ""
        self._moved = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the server."""
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Note what came in, and when."""
        at = self._read_at = _now()
        for reply in self._calls.feed(data):
            due = self._due.pop(reply.stream, None)
            if due is None or reply.error:
                self._failure = self._failure or reply.error or "a watcher ended"
            else:
                self._answers.append((due, at, reply.message))
        self._send()
        self._moved.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """What is under way fails."""
        self._failure = self._failure or f"the connection was lost: {exc}"
        self._moved.set()

    def close(self) -> None:
        """End the connection, and with it all watchers."""
        self._transport.close()

    async def watch(self, tenants: Sequence[str]) -> None:
        """Begin a watcher of each tenant; return when each was told where it begins."""
        for number, tenant in enumerate(tenants):
            request = service_pb2.WatchRequest(tenant_id=tenant).SerializeToString()

            def take(message: bytes, number: int = number) -> None:
                self._begun.add(number)
                self._messages.append((self._read_at, message))

            self._watchers += 1
            self._calls.subscribe(request, _WATCH, take)
        self._send()
        while len(self._begun) < len(tenants):
            await self._more()

    async def offer(self, requests: Sequence[bytes], rate: float) -> None:
        """Send each write when it is due, whatever became of those before, and wait for all.

        Those that the server would refuse, as too many at a time, wait, and their time runs.

        Raises:
            TrafficError: not all of them succeeded.
        """
        begin, sent = _now() + 0.05, 0
        while sent < len(requests):
            now = _now()
            while (
                sent < len(requests)
                and (due := begin + sent / rate) <= now
                and len(self._due) + self._watchers < self._calls.streams_max
            ):
                self._due[self._calls.call(requests[sent], _WRITE)] = due
                sent += 1
            self._send()
            self._require_well()
            await asyncio.sleep(max(begin + sent / rate - _now(), _TICK_S))
        async with asyncio.timeout(_ANSWERS_S_MAX):
            while self._due and not self._failure:
                await self._more()
        self._require_well()

    def take_answers(self) -> dict[str, tuple[float, float]]:
        """By token, when each write was due and when it was answered, since the last call."""
        answers, self._answers = self._answers, []
        read = service_pb2.DataWriteResponse.FromString
        return {read(message).snap_token: (due, at) for due, at, message in answers}

    def told(self) -> dict[str, float]:
        """By token, when a watcher had the message with its changes."""
        messages, self._messages = self._messages, []
        for at, message in messages:
            changes = service_pb2.WatchResponse.FromString(message).changes
            if changes.data_changes:
                self._told[changes.snap_token] = at
        return self._told

    async def _more(self) -> None:
        """Return when more came in."""
        self._moved.clear()
        await self._moved.wait()
        self._require_well()

    def _require_well(self) -> None:
        if self._failure:
            raise TrafficError(self._failure)

    def _send(self) -> None:
        out = self._calls.out
        if out:
            self._transport.write(bytes(out))
            out.clear()


async def connected(host: str, port: int) -> Traffic:
    """A connection to the server."""
    loop = asyncio.get_running_loop()
    _, traffic = await loop.create_connection(lambda: Traffic(f"{host}:{port}"), host, port)
    return traffic


def write_request(tenant: str, doc: str) -> bytes:
    """A write of one tuple."""
    request = service_pb2.DataWriteRequest(tenant_id=tenant, metadata={})
    request.tuples.add(
        entity={"type": "doc", "id": doc}, relation="viewer", subject={"type": "user", "id": "u"}
    )
    return request.SerializeToString()
