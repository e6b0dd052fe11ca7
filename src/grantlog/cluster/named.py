"""The port `Nodes` where configuration, or a name server, says who is there."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from grantlog.errors import InvalidInputError, UnavailableError

Resolve: TypeAlias = "Callable[[str], Awaitable[Sequence[str]]]"
"""The addresses behind a name; raises OSError where there is no answer."""


class ListedNodes:
    """Nodes that configuration names; each is there as long as the list says so.

    Args:
        own: this node's address, one of the list.
        addresses: of all nodes, `host:port`.

    Raises:
        InvalidInputError: this node's own address is not in the list.
    """

    def __init__(self, own: str, addresses: Sequence[str]) -> None:
        if own not in addresses:
            raise InvalidInputError(
                f"this node's address is {own}, which GRANTLOG_RING_NODES does not list: "
                "GRANTLOG_RING_HOST and GRANTLOG_RING_PORT say what it is"
            )
        self._addresses = tuple(addresses)

    async def beat(self) -> Sequence[str]:
        """As `Nodes.beat`."""
        return self._addresses

    async def leave(self) -> None:
        """As `Nodes.leave`: the list stays as it is."""


class ResolvedNodes:
    """Nodes behind one name: each of its addresses, all at one port.

    This node is one of them whether the name says so already or not: names tell of those that are
    ready, and a node asks before it is.

    Args:
        own: this node's address.
        name: `host:port`.
        resolve: asks the name server.
    """

    def __init__(self, own: str, name: str, resolve: Resolve) -> None:
        self._own = own
        self._host, _, self._port = name.rpartition(":")
        self._resolve = resolve

    async def beat(self) -> Sequence[str]:
        """As `Nodes.beat`."""
        try:
            found = await self._resolve(self._host)
        except OSError as error:
            raise UnavailableError(f"the name {self._host} cannot be resolved") from error
        return sorted({self._own, *(joined(host, self._port) for host in found)})

    async def leave(self) -> None:
        """As `Nodes.leave`: the name is somebody else's."""


def joined(host: str, port: int | str) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    try:
        is_v6 = isinstance(ipaddress.ip_address(host), ipaddress.IPv6Address)
    except ValueError:
        is_v6 = False
    return f"[{host}]:{port}" if is_v6 else f"{host}:{port}"


async def addresses_of(host: str) -> Sequence[str]:
    """The IP addresses behind a name, asked in a thread; a literal address is itself.

    Raises:
        OSError: nobody knows it, or nobody answers.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return sorted({str(address[0]) for *_, address in found})
