"""Where a server is: HOST:PORT, and whether what listens there speaks gRPC."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Callable
from enum import Enum, auto
from typing import Final, NamedTuple

from grantlog.errors import InvalidInputError, NotFoundError, UnavailableError

GREET_S_MAX: Final = 5.0
POLL_S: Final = 0.25
PORT_MAX: Final = 65_535

_FORM: Final = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[a-zA-Z0-9._-]+):([0-9]{1,5})")
_HELLO: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""A client's connection preface with empty settings (RFC 9113, section 3.4)."""
_FRAME_HEAD_BYTES: Final = 9
_SETTINGS: Final = 4


class Address(NamedTuple):
    """A host's name or number, and a port."""

    host: str
    port: int


def parse_address(text: str) -> Address:
    """Read HOST:PORT; an IPv6 number stands in brackets.

    Raises:
        InvalidInputError: the text says something else.
    """
    scheme, mark, _ = text.partition("://")
    if mark:
        raise InvalidInputError(
            f"{text!r} is not HOST:PORT: leave {scheme + mark!r} out, and name the port of gRPC "
            "(3478 unless told otherwise), not that of REST"
        )
    found = _FORM.fullmatch(text)
    if not found:
        raise InvalidInputError(f"{text!r} is not HOST:PORT, as 127.0.0.1:3478")
    port = int(found[2])
    if not 0 < port <= PORT_MAX:
        raise InvalidInputError(f"{port} is not a port: expected 1 to {PORT_MAX}")
    return Address(found[1].strip("[]"), port)


class Greeting(Enum):
    """What was heard at an address."""

    HTTP2 = auto()
    """What gRPC is spoken over."""
    OTHER = auto()
    """Another protocol."""
    SILENCE = auto()
    """Something listens and says nothing: no server of ours, or one that is just ending."""
    NOBODY = auto()


async def greet(address: Address) -> Greeting:
    """Say hello as a gRPC client does and listen to what comes back.

    Raises:
        NotFoundError: the host's name leads nowhere.
    """
    try:
        async with asyncio.timeout(GREET_S_MAX):
            reader, writer = await asyncio.open_connection(*address)
    except (socket.gaierror, UnicodeError) as error:
        raise NotFoundError(
            f"there is no host {address.host!r}: name another with --grpc-address"
        ) from error
    except OSError:  # TimeoutError is one
        return Greeting.NOBODY
    try:
        if writer.get_extra_info("sockname") == writer.get_extra_info("peername"):
            return Greeting.NOBODY  # on a closed local port TCP may connect a socket to itself
        writer.write(_HELLO)
        async with asyncio.timeout(GREET_S_MAX):
            return _heard(await reader.read(_FRAME_HEAD_BYTES))
    except OSError:
        return Greeting.SILENCE
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _heard(first: bytes) -> Greeting:
    """An HTTP/2 server's first frame must be its settings."""
    if not first:
        return Greeting.SILENCE
    is_settings = len(first) > 3 and first[3] == _SETTINGS  # noqa: PLR2004 - behind the length
    return Greeting.HTTP2 if is_settings else Greeting.OTHER


async def await_server(text: str, *, wait_s_max: float, waiting: Callable[[], None]) -> None:
    """Return once a server that speaks HTTP/2 listens there; `waiting` is called if none does yet.

    Raises:
        InvalidInputError: the text is no address.
        NotFoundError: the host's name leads nowhere.
        UnavailableError: nothing listens there for so long, or something that is no gRPC server.
    """
    address = parse_address(text)
    clock = asyncio.get_running_loop().time
    give_up = clock() + wait_s_max
    told = False
    while (greeting := await greet(address)) is not Greeting.HTTP2:
        if greeting is Greeting.OTHER or clock() >= give_up:
            raise UnavailableError(_refusal(text, greeting))
        if not told:
            waiting()
            told = True
        await asyncio.sleep(POLL_S)


def _refusal(text: str, greeting: Greeting) -> str:
    if greeting is Greeting.NOBODY:
        return (
            f"no server answers at {text}: start one with `grantlog serve`, "
            "or name another with --grpc-address"
        )
    return (
        f"what listens at {text} does not speak gRPC: grantlog speaks gRPC on port 3478 and REST "
        "on 3476 unless told otherwise; name the former with --grpc-address"
    )
