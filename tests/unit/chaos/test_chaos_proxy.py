"""The proxy passes everything on, unless it is told otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from grantlog.testing.chaos_proxy import ChaosProxy, Trap, open_proxy
from tests.waiting import until


@pytest.fixture
async def proxy() -> AsyncIterator[ChaosProxy]:
    """A proxy in front of a server that says what it is told."""
    open_now: set[asyncio.StreamWriter] = set()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        with suppress(ConnectionError):
            while chunk := await reader.read(1000):
                writer.write(chunk)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        open_now.discard(writer)

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with open_proxy(lambda: asyncio.open_connection("127.0.0.1", port)) as made:
        yield made
    server.close()
    await until(lambda: not open_now)


@asynccontextmanager
async def connected(proxy: ChaosProxy):
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def said(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: bytes) -> bytes:
    writer.write(text)
    return await reader.readexactly(len(text))


async def test_what_is_sent_arrives_in_both_directions(proxy: ChaosProxy):
    async with connected(proxy) as (reader, writer):
        assert await said(reader, writer, b"x" * 1_000_000) == b"x" * 1_000_000
        writer.write_eof()
        assert await reader.read() == b""


async def test_a_slow_link_delivers_late(proxy: ChaosProxy):
    async with connected(proxy) as (reader, writer):
        proxy.delay_s = 0.05
        before = asyncio.get_running_loop().time()
        assert await said(reader, writer, b"hello") == b"hello"
        assert asyncio.get_running_loop().time() - before >= 0.1


async def test_what_stood_still_goes_on(proxy: ChaosProxy):
    async with connected(proxy) as (reader, writer):
        assert await said(reader, writer, b"one") == b"one"
        proxy.stand_still()
        writer.write(b"two")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await reader.read(3)
        proxy.flow()
        assert await reader.readexactly(3) == b"two"


async def test_a_cut_resets_what_is_open(proxy: ChaosProxy):
    async with connected(proxy) as (reader, writer):
        assert await said(reader, writer, b"one") == b"one"
        assert proxy.cut() == 1
        with pytest.raises(ConnectionError):
            await reader.readexactly(1)
    async with connected(proxy) as (reader, writer):
        assert await said(reader, writer, b"two") == b"two"


async def test_a_refusing_link_lets_nobody_in(proxy: ChaosProxy):
    proxy.refusing = True
    async with connected(proxy) as (reader, _):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
    await until(lambda: proxy.connections == 1)


@pytest.mark.parametrize("arrives", [False, True])
async def test_a_trap_cuts_the_connection_that_says_the_words(arrives: bool):
    heard: list[bytes] = []

    async def confirm(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while chunk := await reader.read(1000):
                heard.append(chunk)
                writer.write(b"done")
        writer.transport.abort()

    server = await asyncio.start_server(confirm, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with open_proxy(lambda: asyncio.open_connection("127.0.0.1", port)) as proxy:
        proxy.trap = trap = Trap(b"COMMIT", arrives=arrives)
        async with connected(proxy) as other, connected(proxy) as (reader, writer):
            assert await _answered(*other, b"BEGIN")
            writer.write(b"COMMIT")
            with pytest.raises(ConnectionError):
                await reader.readexactly(1)
            assert trap.sprung.is_set()
            assert proxy.trap is None
            assert heard == ([b"BEGIN", b"COMMIT"] if arrives else [b"BEGIN"])
            assert await _answered(*other, b"COMMIT")
    server.close()


async def _answered(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: bytes
) -> bool:
    writer.write(text)
    return await reader.readexactly(4) == b"done"
