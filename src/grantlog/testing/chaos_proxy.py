"""A TCP proxy that can be slow, stand still, cut its connections and refuse new ones.

It can also wait for certain words and cut the connection that says them: before they arrive, or
when they have been answered, which nobody hears.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, TypeAlias

Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect: TypeAlias = Callable[[], Awaitable[Streams]]
"""Opens a connection to what lies behind the proxy; OSError if it is not there."""

CHUNK_BYTES_MAX: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Trap:
    """Springs once, at the first connection on which a client says the words in one piece.

    Attributes:
        words: what is waited for, on the way to what lies behind the proxy.
        arrives: whether they get there before the connection is reset, and are answered.
        sprung: set when the connection has been reset.
    """

    words: bytes
    arrives: bool
    sprung: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class _Connection:
    """A client's connection and the one behind the proxy that it is passed on to."""

    near: Streams
    far: Streams
    silenced: bool = False
    """Whether the client is to hear nothing more."""
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when something came that a silenced client does not hear, or nothing will come."""


class ChaosProxy:
    """A link that things are done to. It listens on loopback while `open_proxy`'s block runs."""

    def __init__(self, connect: Connect) -> None:
        self.port = 0
        self.delay_s = 0.0
        """How long each piece of what is sent takes on its way, in each direction."""
        self.refusing = False
        """Whether new connections are cut at once."""
        self.connections = 0
        """Accepted so far."""
        self.trap: Trap | None = None
        """Not sprung yet."""
        self._connect = connect
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    def stand_still(self) -> None:
        """From now on connections stay open and nothing comes through."""
        self._flowing.clear()

    def flow(self) -> None:
        """What stood still goes on."""
        self._flowing.set()

    def cut(self) -> int:
        """Reset every connection, in both directions; how many there were."""
        cut = list(self._open)
        for writer in cut:
            _reset(writer)
        return len(cut) // 2

    async def close(self) -> None:
        """Cut everything, and return when it is gone."""
        self.refusing = True
        self.flow()
        while self._serving:
            self.cut()
            await asyncio.wait(set(self._serving))

    async def serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what one client says, and what it is answered, until both ends have."""
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self.connections += 1
        self._open.add(writer)
        try:
            if not self.refusing:
                await self._pass_on(reader, writer)
        finally:
            self._open.discard(writer)
            await _gone(writer)
            self._serving.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await self._connect()
        except OSError:
            return
        self._open.add(far_writer)
        connection = _Connection((reader, writer), (far_reader, far_writer))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump_to(connection), name="proxy to")
                group.create_task(self._pump_from(connection), name="proxy from")
        finally:
            self._open.discard(far_writer)
            await _gone(far_writer)

    async def _pump_to(self, connection: _Connection) -> None:
        reader, writer = connection.near[0], connection.far[1]
        try:
            while chunk := await reader.read(CHUNK_BYTES_MAX):
                trap = self.trap
                if trap is not None and trap.words in chunk:
                    self.trap = None
                    await self._spring(trap, connection, chunk)
                    return
                await self._send(writer, chunk)
            writer.write_eof()
        except OSError:  # reset: the other side is to know
            _reset(writer)

    async def _pump_from(self, connection: _Connection) -> None:
        reader, writer = connection.far[0], connection.near[1]
        try:
            while chunk := await reader.read(CHUNK_BYTES_MAX):
                if connection.silenced:
                    connection.answered.set()
                else:
                    await self._send(writer, chunk)
            writer.write_eof()
        except OSError:
            _reset(writer)
        finally:
            connection.answered.set()

    async def _send(self, writer: asyncio.StreamWriter, chunk: bytes) -> None:
        await self._flowing.wait()
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        writer.write(chunk)
        await writer.drain()

    async def _spring(self, trap: Trap, connection: _Connection, chunk: bytes) -> None:
        """Reset the connection, before the chunk arrives or when it has been answered."""
        far = connection.far[1]
        try:
            if trap.arrives:
                connection.silenced = True
                await self._send(far, chunk)
                await connection.answered.wait()
        finally:
            _reset(connection.near[1])
            _reset(far)
            trap.sprung.set()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset, where an abort alone would say goodbye."""
    if not writer.transport.is_closing():
        found: socket.socket = writer.get_extra_info("socket")
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _gone(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def open_proxy(connect: Connect, *, port: int = 0) -> AsyncGenerator[ChaosProxy]:
    """A proxy for the block, in front of what `connect` leads to.

    Args:
        connect: opens a connection to it.
        port: on 127.0.0.1; 0 is any free one.
    """
    proxy = ChaosProxy(connect)
    server = await asyncio.start_server(proxy.serve_one, "127.0.0.1", port)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
