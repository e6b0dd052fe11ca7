"""Doors that answer a check with the same bytes always: what the libraries underneath cost."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any, Final

import httptools
from starlette.types import Receive, Scope, Send

_BODY: Final = json.dumps(
    {"can": "CHECK_RESULT_ALLOWED", "metadata": {"check_count": 3}}, separators=(",", ":")
).encode()
_WHOLE: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(_BODY)
    + _BODY
)


async def constant_app(_scope: Scope, receive: Receive, send: Send) -> None:
    """An ASGI application that reads the request and says what it always says."""
    while (await receive()).get("more_body"):
        pass
    length = str(len(_BODY)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": _BODY})


class _Constant(asyncio.Protocol):
    """One connection; httptools calls the methods that have its names."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._body = b""

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._transport.write(_WHOLE)


async def serve_httptools(listener: socket.socket, stop: asyncio.Event) -> None:
    """Answer on a bound socket until `stop`, by a protocol over httptools and nothing else."""
    server = await asyncio.get_running_loop().create_server(_Constant, sock=listener)
    await stop.wait()
    server.close()
