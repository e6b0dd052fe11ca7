from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import pytest
from grpc import aio

from grantlog.cli import address as greeting
from grantlog.cli.address import Address, Greeting, greet, parse_address
from grantlog.cli.grpc_client import connected
from grantlog.errors import NotFoundError, UnavailableError
from tests.ports import kept_port
from tests.waiting import until

Talk: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no greeting end because it took too long: that is not what is told at once."""
    monkeypatch.setattr(greeting, "GREET_S_MAX", 600.0)


async def http1(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What a server of REST says to an HTTP/2 client."""
    await reader.readline()
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hear and hang up."""
    await reader.readline()
    writer.close()


@asynccontextmanager
async def listening(talk: Talk) -> AsyncIterator[str]:
    """The address of something that listens."""
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def grpc_server(port: int = 0) -> AsyncIterator[str]:
    server = aio.server()
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield f"127.0.0.1:{bound}"
    finally:
        await server.stop(None)


async def test_a_grpc_server_is_known_by_its_greeting():
    async with grpc_server() as address:
        assert await greet(parse_address(address)) is Greeting.HTTP2
        async with connected(address) as channel:
            assert isinstance(channel, aio.Channel)


async def test_nobody_is_told_at_once():
    async with asyncio.timeout(60):
        with pytest.raises(UnavailableError, match="no server answers at 127"):
            async with connected(f"127.0.0.1:{kept_port()}"):
                pass


@pytest.mark.parametrize("talk", [http1, nothing])
async def test_what_speaks_something_else_is_told_at_once_with_both_ports(talk: Talk):
    async with listening(talk) as address, asyncio.timeout(60):
        with pytest.raises(UnavailableError, match=r"does not speak gRPC.*3478.*3476"):
            async with connected(address):
                pass


async def test_another_protocol_is_not_waited_for():
    async with listening(http1) as address, asyncio.timeout(60):
        with pytest.raises(UnavailableError, match="does not speak gRPC"):
            async with connected(address, wait_s_max=60):
                pass


async def test_a_host_that_is_not_there_is_not_waited_for():
    async with asyncio.timeout(50):
        with pytest.raises(NotFoundError, match=r"there is no host 'nowhere\.invalid'"):
            async with connected("nowhere.invalid:3478", wait_s_max=60):
                pass


async def test_a_name_that_is_no_name_of_a_host_is_refused():
    with pytest.raises(NotFoundError, match="there is no host"):
        await greet(Address("a..b", 3478))


async def test_a_server_that_starts_late_is_waited_for_and_that_is_said_once():
    port, said = kept_port(), []

    async def connect() -> None:
        async with connected(
            f"127.0.0.1:{port}", wait_s_max=60, waiting=lambda: said.append("waiting")
        ):
            said.append("connected")

    async with asyncio.TaskGroup() as group:
        group.create_task(connect(), name="connect")
        await until(lambda: said == ["waiting"])
        async with grpc_server(port):
            await until(lambda: len(said) > 1)
    assert said == ["waiting", "connected"]


async def test_waiting_has_an_end():
    async with asyncio.timeout(60):
        with pytest.raises(UnavailableError, match="no server answers"):
            async with connected(f"127.0.0.1:{kept_port()}", wait_s_max=0.3):
                pass
