"""A connection of the REST door without a network: what comes is cut as a test wants it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from itertools import count

import uvicorn
from grantlog_api import rest_door
from grantlog_api.rest_protocol import BoundedHttp
from grantlog_api.rest_short import ShortWay
from uvicorn.server import ServerState

from grantlog.api.v1 import service_pb2
from grantlog.errors import LimitError
from grantlog.serving.calls import Calls
from grantlog.serving.health import HealthProbe
from grantlog.serving.metadata import request_metadata, say_with_answer

TURNS = 2_000
"""Of other tasks, in which nearly everything here has come."""

CHECK = b"/v1/tenants/t1/permissions/check"
JSON = b"Content-Type: application/json\r\n"


def asking(permission: str, pad: int = 0) -> bytes:
    """The body of a check; `pad` makes it longer."""
    text = (
        '{"metadata":{"depth":20},"entity":{"type":"doc","id":"1"},'
        f'"permission":"{permission}","subject":{{"type":"user","id":"ann"}}'
    )
    return text.encode() + b" " * pad + b"}"


def post(body: bytes, *, headers: bytes = JSON, path: bytes = CHECK) -> bytes:
    """A whole POST, with the length of its body."""
    head = b"POST %b HTTP/1.1\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n"
    return head % (path, headers, len(body)) + body


async def until(holds: Callable[[], bool]) -> None:
    """Return once the condition holds; what a thread does, of a large body, may take longer."""
    async with asyncio.timeout(60):
        for turn in count():
            if holds():
                return
            await asyncio.sleep(0 if turn < TURNS else 0.01)


class Handler:
    """Answers checks by what their permission says, and notes it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.said: list[dict[str, str]] = []
        self.may = asyncio.Event()
        self.cut = 0

    async def __call__(self, request, terms):
        del terms
        self.asked.append(request.permission)
        self.said.append(dict(request_metadata()))
        match request.permission:
            case "waits":
                try:
                    await self.may.wait()
                except asyncio.CancelledError:
                    self.cut += 1
                    raise
            case "slow":
                for _ in range(3):
                    await asyncio.sleep(0)
            case "refused":
                raise LimitError("too much")
            case "breaks":
                raise KeyError("a defect")
            case "bends":
                say_with_answer("grantlog-item-errors", "1\r\nx-planted: 1")
            case _:
                pass
        for name, value in request_metadata().items():
            say_with_answer(name, value)
        count = len(request.subject.id) + len(request.permission)
        metadata = service_pb2.PermissionCheckResponseMetadata(check_count=count)
        return service_pb2.PermissionCheckResponse(can="CHECK_RESULT_ALLOWED", metadata=metadata)


class Wire(asyncio.Transport):
    """The server's end of a connection that has no other end."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = False
        self.paused = False
        self.lost = lambda: None

    def write(self, data) -> None:
        assert not self.closed
        self.sent += data

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.lost)

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0  # whoever is behind it reads at once

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


async def _healthy() -> str:
    return ""


class Line:
    """A connection to a door of its own.

    Args:
        short: whether plain requests go the short way.
        timeout_s: what a call may take.
        connections_max: how many connections and calls there may be.
    """

    def __init__(
        self, *, short: bool = True, timeout_s: float = 20, connections_max: int = 100
    ) -> None:
        self.handler = Handler()
        calls = Calls({"/base.v1.Permission/Check": self.handler}, timeout_s=timeout_s)
        app = rest_door.build_app(calls, HealthProbe(_healthy), allowed_origins=["https://page"])
        config = uvicorn.Config(
            app, lifespan="off", log_config=None, access_log=False,
            limit_concurrency=connections_max,
        )  # fmt: skip
        self.state = ServerState()
        self.wire = Wire()
        self.protocol = BoundedHttp(
            config=config,
            server_state=self.state,
            app_state={},
            _loop=asyncio.get_running_loop(),
            short=ShortWay(calls) if short else None,
        )
        self.wire.lost = lambda: self.protocol.connection_lost(None)
        self.protocol.connection_made(self.wire)

    def put(self, data: bytes) -> None:
        """Have some bytes arrive."""
        self.protocol.data_received(data)

    def leave(self) -> None:
        """Have the client leave."""
        self.wire.closed = True
        self.protocol.connection_lost(None)

    async def send(self, pieces: Iterable[bytes]) -> None:
        """Have pieces arrive as fast as they are taken, until the connection ends."""
        for piece in pieces:
            await until(lambda: self.wire.closed or not self.wire.paused)
            if self.wire.closed:
                return
            self.put(piece)

    async def quiet(self) -> bytes:
        """All that was sent, once nothing is under way."""
        await until(lambda: not self.state.tasks and not self.protocol.pipeline)
        return self.wire.sent

    async def end(self) -> None:
        """End the connection and what belongs to it."""
        self.wire.close()
        await until(lambda: self.protocol not in self.state.connections and not self.state.tasks)


async def answers(pieces: Iterable[bytes], *, short: bool = True) -> tuple[bytes, list[str]]:
    """What a connection answers to pieces of a stream, and what the handler was asked."""
    line = Line(short=short)
    try:
        await line.send(pieces)
        return await line.quiet(), line.handler.asked
    finally:
        await line.end()
