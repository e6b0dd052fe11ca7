"""A proxy before the server that cuts a connection exactly at COMMIT."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from urllib.parse import parse_qs, urlsplit, urlunsplit

COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"


class Cut(Enum):
    """What becomes of a COMMIT."""

    PASS = "it passes"
    BEFORE = "it does not reach the server"
    AFTER = "it reaches the server, its answer does not reach the client"
    LATE = "the client is cut off at once, the server gets it when `release` is set"
    ALONE = "as LATE, and nobody can connect from then on"


class Proxy:
    """Forwards connections on 127.0.0.1 to the server's unix socket; one task each way."""

    def __init__(self, socket: str, group: asyncio.TaskGroup) -> None:
        self.cut = Cut.PASS
        self.cuts_left = 0
        self.release = asyncio.Event()
        self.down = False
        self.open = asyncio.Event()
        """Cleared, nothing more reaches the server, and nobody new."""
        self.open.set()
        self._closes = False
        self._socket = socket
        self._group = group

    def next_commits(self, cut: Cut, number: int = 1, *, closes: bool = False) -> None:
        """`closes`: the first cut clears `open`."""
        self.cut, self.cuts_left, self._closes = cut, number, closes

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.open.wait()
        if self.down:
            writer.transport.abort()
            return
        server_reader, server_writer = await asyncio.open_unix_connection(self._socket)
        answers = self._group.create_task(_forward(server_reader, writer))
        try:
            while data := await reader.read(65536):
                if self.cuts_left and COMMIT in data:
                    self.cuts_left -= 1
                    if self._closes:
                        self.open.clear()
                    await self._cut(data, writer, server_reader, server_writer, answers)
                    return
                await self.open.wait()
                server_writer.write(data)
                await server_writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()
            server_writer.transport.abort()

    async def _cut(
        self,
        data: bytes,
        writer: asyncio.StreamWriter,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
        answers: asyncio.Task[None],
    ) -> None:
        answers.cancel()
        await asyncio.wait([answers])
        if self.cut is Cut.BEFORE:
            return
        if self.cut in {Cut.LATE, Cut.ALONE}:
            self.down = self.cut is Cut.ALONE
            writer.transport.abort()
            await self.release.wait()
        server_writer.write(data)
        await server_writer.drain()
        answer = b""
        while not answer.endswith(b"Z\x00\x00\x00\x05I"):  # the server is idle again
            answer += await server_reader.readexactly(1)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()


@asynccontextmanager
async def proxied(dsn: str) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy before the DSN's server, and the DSN that leads through it."""
    parts = urlsplit(dsn)
    folder = parse_qs(parts.query)["host"][0]
    port = parse_qs(parts.query).get("port", ["5432"])[0]
    async with asyncio.TaskGroup() as group:
        proxy = Proxy(f"{folder}/.s.PGSQL.{port}", group)
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        host, bound = server.sockets[0].getsockname()
        through = parts._replace(netloc=f"{parts.username}@{host}:{bound}", query="sslmode=disable")
        try:
            yield proxy, urlunsplit(through)
        finally:
            proxy.release.set()
            proxy.open.set()
            server.close()
